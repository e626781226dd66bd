import type { StreamFilter } from "../http/stream-filter.ts";

const unavailable = 503;

/** gRPC for clients of HTTP/1, which see no trailers: the answer is held until its trailers say how it ended, and they go into its head. */
export function compileGrpcHttp1Bridge(): StreamFilter {
	return {
		onRequestHead(stream) {
			if (stream.request.version < 20 && stream.isGrpcRequest) stream.filters.holdsResponse = true;
			return "continue";
		},
		onResponseHeld({ response }, trailers) {
			for (let i = 0; i < trailers.length; i += 2) {
				const name = trailers[i] as string;
				if (name === "grpc-status" || name === "grpc-message") response.set(name, trailers[i + 1] as string);
			}
			const status = response.get("grpc-status");
			if (status !== undefined && status !== "0") response.status = unavailable;
		},
	};
}
