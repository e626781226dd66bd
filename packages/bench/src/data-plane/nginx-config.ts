import { hopDnsName, type ProxyRole, routePath } from "./topology.ts";

// One process, so that one pid holds all of the CPU time and memory.
const head = `master_process off;
worker_processes 1;
error_log stderr error;
pid nginx.pid;
events { worker_connections 8192; }
`;

const http = `	access_log off;
	keepalive_requests 1000000000;
	keepalive_timeout 300s;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
`;

/**
 * nginx as a reverse proxy with a kept-alive upstream, or with its stream module as a TCP proxy.
 * @param streamModule the module's file, where nginx has it as one
 */
export function buildNginxConfig(role: ProxyRole, streamModule?: string): string {
	if (role.protocol === "tcp") return buildStreamConfig(role, streamModule);
	const targets = role.routes === undefined ? [{ name: "backend", path: "/" }] : routeTargets(role.routes);
	return `${head}http {
${http}${targets.map(({ name }) => upstreamBlock(name, role.upstreamPort)).join("")}	server {
		${listen(role)}
${targets.map(({ name, path }) => locationBlock(role, name, path)).join("")}	}
}
`;
}

function buildStreamConfig(role: ProxyRole, streamModule: string | undefined): string {
	const load = streamModule === undefined ? "" : `load_module ${streamModule};\n`;
	return `${load}${head}stream {
	server {
		listen 127.0.0.1:${role.listenPort} backlog=1024;
		proxy_pass 127.0.0.1:${role.upstreamPort};
		tcp_nodelay on;
	}
}
`;
}

function routeTargets(count: number): readonly { readonly name: string; readonly path: string }[] {
	return Array.from({ length: count }, (_, index) => ({ name: `backend-${index}`, path: routePath(index) }));
}

function listen({ listenTls, listenPort, certificates: { ca, certificate, key } }: ProxyRole): string {
	if (listenTls === "none") return `listen 127.0.0.1:${listenPort} backlog=1024;`;
	const server = `listen 127.0.0.1:${listenPort} ssl backlog=1024;
		ssl_certificate ${certificate};
		ssl_certificate_key ${key};
		ssl_protocols TLSv1.3;`;
	// Without tickets or a cache every handshake is a full one, which is what is measured where clients bring no certificate.
	if (listenTls === "server") return `${server}\n\t\tssl_session_cache off;\n\t\tssl_session_tickets off;`;
	return `${server}\n\t\tssl_client_certificate ${ca};\n\t\tssl_verify_client on;\n\t\tssl_session_cache builtin:1000;`;
}

function upstreamBlock(name: string, port: number): string {
	return `	upstream ${name} {
		server 127.0.0.1:${port};
		keepalive 256;
		keepalive_requests 1000000000;
		keepalive_timeout 300s;
	}
`;
}

function locationBlock({ upstreamTls, certificates: { ca, certificate, key } }: ProxyRole, name: string, path: string): string {
	const pass = upstreamTls
		? `proxy_pass https://${name};
			proxy_ssl_certificate ${certificate};
			proxy_ssl_certificate_key ${key};
			proxy_ssl_trusted_certificate ${ca};
			proxy_ssl_verify on;
			proxy_ssl_name ${hopDnsName};
			proxy_ssl_server_name on;
			proxy_ssl_protocols TLSv1.3;`
		: `proxy_pass http://${name};`;
	return `		location ${path} {
			${pass}
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
		}
`;
}
