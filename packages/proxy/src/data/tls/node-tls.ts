type NodeTls = typeof import("node:tls");

let loaded: NodeTls | undefined;

/** node:tls when the first TLS connection needs it: a proxy without TLS saves its seven megabytes. */
export function nodeTls(): NodeTls {
	return (loaded ??= process.getBuiltinModule("node:tls"));
}
