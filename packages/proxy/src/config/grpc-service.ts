/** A gRPC service that the data path calls. */
export interface GrpcService {
	readonly cluster: string;
	readonly authority: string;
	readonly timeoutMs: number;
	/** Goes with every call; names in lower case. */
	readonly metadata: readonly (readonly [name: string, value: string])[];
}
