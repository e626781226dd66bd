import { type handleUnaryCall, Metadata, Server } from "@grpc/grpc-js";
import type { MessageFns } from "@weft/xds";
import { staticCluster } from "./config.ts";
import { bindServer, grpcMethod } from "./grpc-method.ts";

const http2 = {
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
		"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
		explicit_http_config: { http2_protocol_options: {} },
	},
};

/** A cluster of one gRPC server. */
export const grpcCluster = (name: string, port: number) => staticCluster(name, port, { connect_timeout: "2s", typed_extension_protocol_options: http2 });

/** What a service answers with; an error ends the call with its code; `silence`: nothing. */
export type Answer<R> = R | Failure | "silence";

interface Failure {
	readonly code: number;
	readonly details: string;
}

const isFailure = (answer: unknown): answer is Failure => typeof answer === "object" && answer !== null && "details" in answer;

/** A server of one unary method, that both proxies of a pair ask. */
export async function startService<Q, R>(
	path: string,
	requests: MessageFns<Q>,
	responses: MessageFns<R>,
	answer: (request: Q, metadata: Metadata) => Answer<R>,
): Promise<{ readonly port: number; readonly stop: () => void }> {
	const server = new Server();
	const unary: handleUnaryCall<Q, R> = (call, callback) => {
		const said = answer(call.request, call.metadata);
		if (said === "silence") return;
		if (isFailure(said)) callback({ ...said, metadata: new Metadata() });
		else callback(null, said);
	};
	server.addService({ unary: grpcMethod(path, "unary", requests, responses) }, { unary });
	const port = await bindServer(server);
	return { port, stop: () => server.forceShutdown() };
}
