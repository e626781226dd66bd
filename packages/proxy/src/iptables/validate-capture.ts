import { connect, createServer } from "node:net";
import type { CaptureConfig } from "./capture-config.ts";

export interface CaptureProbe {
	/** The pod's own address. */
	readonly address: string;
	/** A port that nobody listens on. */
	readonly port: number;
	readonly timeoutMs: number;
}

/**
 * Is the traffic captured? A connection of the proxy's user to the pod's own address counts as inbound, so rules bring it to the
 * inbound port whatever port it goes to; without them nobody answers. Resolves to what is wrong, undefined if nothing is.
 */
export async function validateCapture({ inboundCapturePort }: CaptureConfig, { address, port, timeoutMs }: CaptureProbe): Promise<string | undefined> {
	const server = createServer((socket) => socket.end());
	try {
		await new Promise<void>((resolve, reject) => {
			server.once("error", reject);
			server.listen(Number(inboundCapturePort), address.includes(":") ? "::" : "0.0.0.0", resolve);
		});
	} catch (error) {
		return `cannot listen on the inbound port ${inboundCapturePort}: ${error instanceof Error ? error.message : String(error)}`;
	}
	const captured = new Promise<undefined>((resolve) => server.once("connection", () => resolve(undefined)));
	const client = connect({ host: address, port });
	const failed = new Promise<string>((resolve) => {
		client.once("error", (error) => resolve(`a connection to ${address}:${port} did not come to port ${inboundCapturePort}: ${error.message}`));
	});
	// A rule that drops leaves both silent.
	const { promise: late, resolve: expire } = Promise.withResolvers<string>();
	const timer = setTimeout(() => expire(`a connection to ${address}:${port} did not come to port ${inboundCapturePort} within ${timeoutMs} ms`), timeoutMs);
	const result = await Promise.race([captured, failed, late]);
	clearTimeout(timer);
	client.destroy();
	server.close();
	return result;
}
