import { type OpenByteStream, responseBytesMax } from "@weft/xds/client";
import { GrpcChannel } from "./channel.ts";
import type { GrpcEnvironment } from "./environment.ts";
import { statusText } from "./status.ts";
import type { GrpcTarget } from "./target.ts";

/** xDS streams, each on a connection of its own, so that each shows the newest certificate. */
export function openXdsBytes(target: GrpcTarget, metadata: Readonly<Record<string, string>>, environment: GrpcEnvironment): OpenByteStream {
	return (path, { onMessage, onEnd }) => {
		const channel = new GrpcChannel(target, environment);
		const call = channel.open(
			{ path, metadata, messageBytesMax: responseBytesMax },
			{
				onMessage,
				onEnd(status) {
					channel.close();
					onEnd(status.code === 0 ? "the server ended the stream" : statusText(status));
				},
			},
		);
		return {
			send: (message) => void call.send(message),
			pause: () => call.pause(),
			resume: () => call.resume(),
			cancel() {
				call.cancel();
				channel.close();
			},
		};
	};
}
