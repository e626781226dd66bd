import { hopDnsName, type ProxyRole } from "./topology.ts";

/** haproxy with one thread and connections to the backend shared between clients, as the other proxies do it; in TCP mode, bytes. */
export function buildHaproxyConfig(role: ProxyRole): string {
	const mode = role.protocol === "tcp" ? "mode tcp" : "mode http\n\toption http-keep-alive\n\thttp-reuse always";
	const pool = role.protocol === "tcp" ? "" : " pool-max-conn 4096";
	// Without tickets or a cache every handshake is a full one, which is what is measured where clients bring no certificate.
	const fullHandshakes = role.listenTls === "server" ? "\n\ttune.ssl.cachesize 0" : "";
	return `global
	nbthread 1
	maxconn 4096
	tune.idle-pool.shared on${fullHandshakes}
defaults
	${mode}
	timeout connect 5s
	timeout client 300s
	timeout server 300s
frontend bench
	bind 127.0.0.1:${role.listenPort}${bindOptions(role)}
	default_backend backend
backend backend
	server backend 127.0.0.1:${role.upstreamPort}${pool}${serverOptions(role)}
`;
}

function bindOptions({ protocol, listenTls, certificates: { ca, bundle } }: ProxyRole): string {
	const alpn = protocol === "http2" ? " alpn h2" : "";
	if (listenTls === "mutual") return ` ssl crt ${bundle} ca-file ${ca} verify required ssl-min-ver TLSv1.3${alpn}`;
	if (listenTls === "server") return ` ssl crt ${bundle} ssl-min-ver TLSv1.3 no-tls-tickets${alpn}`;
	return protocol === "http2" ? " proto h2" : "";
}

function serverOptions({ protocol, upstreamTls, certificates: { ca, bundle } }: ProxyRole): string {
	if (!upstreamTls) return protocol === "http2" ? " proto h2" : "";
	const alpn = protocol === "http2" ? " alpn h2" : "";
	return ` ssl crt ${bundle} ca-file ${ca} verify required verifyhost ${hopDnsName} sni str(${hopDnsName}) ssl-min-ver TLSv1.3${alpn}`;
}
