import assert from "node:assert/strict";
import { it } from "node:test";
import { createConnectionInfo, createStreamInfo, type StreamInfo } from "../log/stream-info.ts";
import { originalDestination } from "./original-destination.ts";

it("an original destination is what metadata of the stream says, else its connection's, else a header, else where the client wanted to go", () => {
	const rules = { header: "x-to", metadata: { namespace: "where", path: ["to"] }, port: undefined };
	const metadata = (to: unknown) => ({ where: { to } });
	const of = (stream: StreamInfo["dynamicMetadata"], connection: StreamInfo["dynamicMetadata"], header: string | undefined, port?: number) => {
		const info = createStreamInfo(createConnectionInfo({ localAddress: "[::1]:1", dynamicMetadata: connection }));
		info.dynamicMetadata = stream;
		let invalid = 0;
		const found = originalDestination({ ...rules, port }, info, { header: (name) => (name === "x-to" ? header : undefined), onInvalid: () => invalid++ });
		return [found, invalid];
	};
	assert.deepEqual(of(metadata("10.0.0.1:1"), metadata("10.0.0.2:2"), "10.0.0.3:3"), ["10.0.0.1:1", 0]);
	assert.deepEqual(of(metadata(["10.0.0.1:1", "10.0.0.9:9"]), undefined, undefined), ["10.0.0.1:1", 0]);
	assert.deepEqual(of(metadata(7), metadata("10.0.0.2:2"), undefined), ["10.0.0.2:2", 0]);
	assert.deepEqual(of(metadata("there"), metadata("10.0.0.2:2"), "10.0.0.3:3"), ["10.0.0.3:3", 1]);
	assert.deepEqual(of(undefined, undefined, "there"), ["[::1]:1", 1]);
	assert.deepEqual(of(undefined, undefined, undefined, 8080), ["[::1]:8080", 0]);
	assert.deepEqual(of(undefined, undefined, "10.0.0.3:3", 8080), ["10.0.0.3:8080", 0]);
});
