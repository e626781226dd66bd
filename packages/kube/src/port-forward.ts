import { createServer, type AddressInfo, type Socket } from "node:net";
import { loadKubeConfig } from "./connection.ts";

export interface PortForwardOptions {
	readonly kubeconfig?: string;
	readonly context?: string;
	readonly namespace: string;
	readonly pod: string;
	readonly port: number;
	/** On loopback; 0 takes a free one. */
	readonly localPort?: number;
	readonly signal: AbortSignal;
	/** A connection that could not be forwarded. */
	onError?(error: Error): void;
}

/** Connections at one time. */
const connectionsMax = 64;

/** Listens on loopback and carries each connection to a pod's port, until `signal` aborts. Resolves to the local port. */
export async function forwardPort(options: PortForwardOptions): Promise<number> {
	const { namespace, pod, port, signal } = options;
	const { PortForward } = await import("@kubernetes/client-node");
	const forward = new PortForward(await loadKubeConfig(options.kubeconfig, options.context), true);
	const open = new Set<Socket>();
	const server = createServer((socket: Socket) => {
		open.add(socket);
		socket.on("close", () => open.delete(socket));
		socket.on("error", (error) => options.onError?.(error));
		forward.portForward(namespace, pod, [port], socket, null, socket).then(
			(opened) => {
				const webSocket = typeof opened === "function" ? opened() : opened;
				socket.on("close", () => webSocket?.close());
			},
			(error: unknown) => {
				const reason = error instanceof Error ? error.message : "the API server refuses the connection";
				options.onError?.(new Error(`port-forward to ${namespace}/${pod}:${port}: ${reason}`));
				socket.destroy();
			},
		);
	});
	server.maxConnections = connectionsMax;
	await new Promise<void>((resolve, reject) => {
		server.once("error", reject);
		server.listen(options.localPort ?? 0, "127.0.0.1", resolve);
	});
	const close = () => {
		server.close();
		for (const socket of open) socket.destroy();
	};
	if (signal.aborted) close();
	signal.addEventListener("abort", close, { once: true });
	return (server.address() as AddressInfo).port;
}
