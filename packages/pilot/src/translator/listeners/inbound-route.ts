import { zeroDuration } from "../routes/values.ts";

export interface InboundRouteInput {
	readonly name: string;
	readonly cluster: string;
	/** `host:port` of the service, for traces. */
	readonly operation: string;
	readonly servicePort: number;
	/** Streams of gRPC must not be begun twice. */
	readonly grpc?: boolean;
}

/** The route table of an inbound connection manager: everything goes to the application. */
export function buildInboundRoute({ name, cluster, operation, servicePort, grpc = false }: InboundRouteInput): object {
	return {
		name,
		validateClusters: false,
		virtualHosts: [
			{
				name: `inbound|http|${servicePort}`,
				domains: ["*"],
				routes: [
					{
						name: "default",
						match: { prefix: "/" },
						decorator: { operation: `${operation}/*` },
						route: {
							cluster,
							timeout: zeroDuration,
							maxStreamDuration: { maxStreamDuration: zeroDuration, grpcTimeoutHeaderMax: zeroDuration },
							// Only what the application can never have seen: its own clients decide about other retries.
							...(grpc ? {} : { retryPolicy: { retryOn: "reset-before-request", numRetries: 2 } }),
						},
					},
				],
			},
		],
	};
}
