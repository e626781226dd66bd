import { hopDnsName, type ProxyRole } from "./topology.ts";

// One process, so that one pid holds all of the CPU time and memory.
const head = `master_process off;
worker_processes 1;
error_log stderr error;
pid nginx.pid;
events { worker_connections 4096; }
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

/** nginx as a reverse proxy with a kept-alive upstream. */
export function buildNginxConfig(role: ProxyRole): string {
	const { ca, certificate, key } = role.certificates;
	const listen = role.listenTls
		? `listen 127.0.0.1:${role.listenPort} ssl backlog=1024;
		ssl_certificate ${certificate};
		ssl_certificate_key ${key};
		ssl_client_certificate ${ca};
		ssl_verify_client on;
		ssl_protocols TLSv1.3;
		ssl_session_cache builtin:1000;`
		: `listen 127.0.0.1:${role.listenPort} backlog=1024;`;
	const upstream = role.upstreamTls
		? `proxy_pass https://backend;
			proxy_ssl_certificate ${certificate};
			proxy_ssl_certificate_key ${key};
			proxy_ssl_trusted_certificate ${ca};
			proxy_ssl_verify on;
			proxy_ssl_name ${hopDnsName};
			proxy_ssl_server_name on;
			proxy_ssl_protocols TLSv1.3;`
		: "proxy_pass http://backend;";
	return `${head}http {
${http}	upstream backend {
		server 127.0.0.1:${role.upstreamPort};
		keepalive 256;
		keepalive_requests 1000000000;
		keepalive_timeout 300s;
	}
	server {
		${listen}
		location / {
			${upstream}
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
		}
	}
}
`;
}

/** nginx as the backend: the same body from memory for every request. */
export function buildBackendConfig(port: number, http2Port: number, bodyBytes: number): string {
	return `${head}http {
${http}	server {
		listen 127.0.0.1:${port} backlog=1024;
		listen 127.0.0.1:${http2Port} http2 backlog=1024;
		location / { default_type text/plain; return 200 "${"x".repeat(bodyBytes)}"; }
	}
}
`;
}
