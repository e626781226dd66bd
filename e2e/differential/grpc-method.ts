import { type MethodDefinition, type Server, ServerCredentials } from "@grpc/grpc-js";
import type { MessageFns } from "@weft/xds";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";

/** A method of a gRPC service by its path, as grpc-js wants it. */
export function grpcMethod<Q, R>(path: string, kind: "unary" | "bidirectional", requests: MessageFns<Q>, responses: MessageFns<R>): MethodDefinition<Q, R> {
	return {
		path,
		requestStream: kind === "bidirectional",
		responseStream: kind === "bidirectional",
		requestSerialize: (message: Q) => Buffer.from(requests.encode(message).finish()),
		requestDeserialize: (bytes: Buffer) => requests.decode(bytes),
		responseSerialize: (message: R) => Buffer.from(responses.encode(message).finish()),
		responseDeserialize: (bytes: Buffer) => responses.decode(bytes),
	};
}

/** Of xDS in its incremental form; by default the aggregated one. */
export function deltaMethod(path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources") {
	return grpcMethod(path, "bidirectional", DeltaDiscoveryRequest, DeltaDiscoveryResponse);
}

/** In clear text; any port of the loopback interface, or `target`. Resolves to the port. */
export function bindServer(server: Server, target = "127.0.0.1:0"): Promise<number> {
	return new Promise((resolve, reject) =>
		server.bindAsync(target, ServerCredentials.createInsecure(), (error, port) => (error === null ? resolve(port) : reject(error))),
	);
}
