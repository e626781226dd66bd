import { type handleBidiStreamingCall, type handleUnaryCall, Metadata, Server, ServerCredentials } from "@grpc/grpc-js";

// Bytes in, bytes out: no message definitions needed.
const same = (bytes: Buffer) => bytes;
const method = (path: string, streaming: boolean) => ({
	path,
	requestStream: streaming,
	responseStream: streaming,
	requestSerialize: same,
	requestDeserialize: same,
	responseSerialize: same,
	responseDeserialize: same,
});

const trailers = () => {
	const metadata = new Metadata();
	metadata.set("x-pod", process.env["POD_NAME"] ?? "");
	return metadata;
};

const unary: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
	if (call.request.toString() === "refuse") callback({ code: 9, details: "refused on request", metadata: trailers() });
	else callback(null, call.request, trailers());
};

const chat: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
	let count = 0;
	call.on("data", (bytes: Buffer) => {
		count++;
		call.write(bytes);
	});
	call.on("end", () => {
		const metadata = trailers();
		metadata.set("x-count", String(count));
		call.end(metadata);
	});
};

const server = new Server();
server.addService({ Unary: method("/echo.Echo/Unary", false), Chat: method("/echo.Echo/Chat", true) }, { Unary: unary, Chat: chat });
server.bindAsync(`127.0.0.1:${process.env["PORT"]}`, ServerCredentials.createInsecure(), (error) => {
	if (error) throw error;
});
