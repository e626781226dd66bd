import type { GrpcService } from "../config/grpc-service.ts";
import type { ClusterRuntime } from "../data/upstream/cluster-runtime.ts";
import { ClusterStream } from "./cluster-stream.ts";
import { grpcCode, grpcStatus, type GrpcStatus } from "./status.ts";

/** `message`: of a call that ended well. */
export type UnaryResult = { readonly status: GrpcStatus; readonly message: Buffer | undefined };

/** A unary call of a service in a cluster. `onResult` runs once, never before the constructor has returned, and not after `cancel`. */
export class ClusterCall {
	readonly #stream: ClusterStream;
	#message: Buffer | undefined;

	constructor(cluster: ClusterRuntime, service: GrpcService, path: string, request: Uint8Array, onResult: (result: UnaryResult) => void) {
		this.#stream = new ClusterStream(cluster, service, path, request, {
			onMessage: (message) => this.#take(message),
			onEnd: (status) => onResult(this.#resultOf(status)),
		});
	}

	#take(message: Buffer): void {
		if (this.#message === undefined) this.#message = message;
		else this.#stream.abort(grpcStatus(grpcCode.internal, "the server answered with more than one message"));
	}

	#resultOf(status: GrpcStatus): UnaryResult {
		if (status.code !== grpcCode.ok) return { status, message: undefined };
		if (this.#message !== undefined) return { status, message: this.#message };
		return { status: grpcStatus(grpcCode.internal, "the server answered without a message"), message: undefined };
	}

	cancel(): void {
		this.#stream.cancel();
	}
}
