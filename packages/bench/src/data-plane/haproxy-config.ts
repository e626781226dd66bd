import { hopDnsName, type ProxyRole } from "./topology.ts";

/** haproxy with one thread and connections to the backend shared between clients, as the other proxies do it. */
export function buildHaproxyConfig(role: ProxyRole): string {
	const { ca, bundle } = role.certificates;
	const alpn = role.http2 ? " alpn h2" : "";
	const clear = role.http2 ? " proto h2" : "";
	const bind = role.listenTls ? ` ssl crt ${bundle} ca-file ${ca} verify required ssl-min-ver TLSv1.3${alpn}` : clear;
	const server = role.upstreamTls
		? ` ssl crt ${bundle} ca-file ${ca} verify required verifyhost ${hopDnsName} sni str(${hopDnsName}) ssl-min-ver TLSv1.3${alpn}`
		: clear;
	return `global
	nbthread 1
	maxconn 4096
	tune.idle-pool.shared on
defaults
	mode http
	option http-keep-alive
	http-reuse always
	timeout connect 5s
	timeout client 300s
	timeout server 300s
frontend bench
	bind 127.0.0.1:${role.listenPort}${bind}
	default_backend backend
backend backend
	server backend 127.0.0.1:${role.upstreamPort} pool-max-conn 4096${server}
`;
}
