import { zeroDuration } from "../routes/values.ts";

export interface InboundRouteInput {
	readonly name: string;
	readonly cluster: string;
	/** `host:port` of the service, for traces. */
	readonly operation: string;
	readonly servicePort: number;
}

/** The route table of an inbound connection manager: everything goes to the application. */
export function buildInboundRoute({ name, cluster, operation, servicePort }: InboundRouteInput): object {
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
							retryPolicy: { retryOn: "reset-before-request", numRetries: 2 },
						},
					},
				],
			},
		],
	};
}
