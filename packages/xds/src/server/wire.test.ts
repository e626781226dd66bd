import assert from "node:assert/strict";
import { promisify } from "node:util";
import { test } from "node:test";
import { Client, credentials, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { DeltaDiscoveryResponse, DiscoveryResponse } from "../generated/envoy/service/discovery/v3/discovery.ts";
import { typeUrls } from "../type-urls.ts";
import { createMessageWriter } from "./message-writer.ts";
import type { EncodedResource } from "./resource.ts";
import { deltaResponse, sotwResponse, type WireMessage } from "./wire.ts";

/** Sizes from a few bytes to more than one piece holds; versions as hashes have them. */
const resources: readonly EncodedResource[] = Array.from({ length: 400 }, (_, i) => ({
	name: `resource-${i}`,
	version: `${String.fromCharCode(65 + ((i * 7) % 26))}${String.fromCharCode(65 + ((i * 11) % 26))}${i}`,
	bytes: Buffer.alloc(i % 97 === 0 ? 40_000 : (i * 37) % 3_000, i & 255),
}));
const common = { type: "cds", version: "7", nonce: "7.1" } as const;
const joined = ({ pieces, length }: WireMessage) => {
	const bytes = Buffer.concat(pieces);
	assert.equal(bytes.length, length);
	return bytes;
};

test("a delta response says what it was made of, however it was cut into pieces", () => {
	for (const list of [resources, resources.slice(3, 200), [...resources.slice(0, 50), ...resources.slice(60)], resources.slice(5, 6), []]) {
		const { pieces, length } = deltaResponse({ ...common, resources: list, removed: ["gone", "too"] });
		const response = DeltaDiscoveryResponse.decode(joined({ pieces, length }));
		assert.deepEqual([response.typeUrl, response.systemVersionInfo, response.nonce], [typeUrls.cds, "7", "7.1"]);
		assert.deepEqual(response.removedResources, ["gone", "too"]);
		assert.deepEqual(
			response.resources.map(({ name, version, resource }) => [name, version, resource?.typeUrl, Buffer.from(resource?.value ?? []).toString("hex")]),
			list.map(({ name, version, bytes }) => [name, version, typeUrls.cds, Buffer.from(bytes).toString("hex")]),
		);
	}
});

test("a response of the whole state", () => {
	const response = DiscoveryResponse.decode(joined(sotwResponse({ ...common, resources, removed: [] })));
	assert.deepEqual([response.typeUrl, response.versionInfo, response.nonce], [typeUrls.cds, "7", "7.1"]);
	assert.deepEqual(
		response.resources.map(({ value }) => Buffer.from(value).toString("hex")),
		resources.map(({ bytes }) => Buffer.from(bytes).toString("hex")),
	);
});

test("clients share the bytes of what they have in common", () => {
	const own = (name: string): EncodedResource => ({ name, version: `x${name}`, bytes: Buffer.from(name) });
	const a = deltaResponse({ ...common, resources: [own("inbound-a"), ...resources], removed: [] });
	const b = deltaResponse({ ...common, nonce: "7.2", resources: [own("inbound-b"), ...resources], removed: [] });
	const shared = new Set(a.pieces);
	const copied = b.pieces.filter((piece) => !shared.has(piece)).reduce((sum, { length }) => sum + length, 0);
	assert.ok(copied < b.length / 4, `${copied} of ${b.length} bytes are its own`);
});

test("a small response is one for all clients that are sent it", () => {
	const [small] = resources.slice(7, 8) as [EncodedResource];
	const message = deltaResponse({ ...common, resources: [small], removed: [] });
	assert.equal(deltaResponse({ ...common, resources: [small], removed: [] }), message);
	const others = [
		deltaResponse({ ...common, nonce: "7.2", resources: [small], removed: [] }),
		deltaResponse({ ...common, nonce: "7.2", resources: [small], removed: ["gone"] }),
		deltaResponse({ ...common, nonce: "7.2", resources: [small, ...resources.slice(2, 3)], removed: [] }),
	].map((other) => DeltaDiscoveryResponse.decode(joined(other)));
	assert.deepEqual(
		others.map(({ nonce, removedResources, resources: list }) => [nonce, removedResources.length, list.length]),
		[
			["7.2", 0, 1],
			["7.2", 1, 1],
			["7.2", 0, 2],
		],
	);
});

test("a client of grpc-js reads what was written in pieces", { timeout: 20_000 }, async () => {
	const server = new Server({ "grpc.max_send_message_length": -1 });
	const pass = (bytes: Buffer) => bytes;
	const method = { path: "/s/m", requestStream: true, responseStream: true, requestSerialize: pass, requestDeserialize: pass, responseSerialize: pass };
	const messages = [deltaResponse({ ...common, resources, removed: ["r"] }), deltaResponse({ ...common, resources: [], removed: [] })];
	server.addService(
		{ m: { ...method, responseDeserialize: pass } },
		{
			m: (call: ServerDuplexStream<Buffer, Buffer>) => {
				const write = createMessageWriter(call);
				call.on("data", () => void Promise.all(messages.map((message) => promisify(write)(message))).then(() => call.end()));
			},
		},
	);
	const port = await new Promise<number>((resolve, reject) =>
		server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
	);
	const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
	const call = client.makeBidiStreamRequest("/s/m", pass, pass);
	call.write(Buffer.from("go"));
	const received: Buffer[] = [];
	for await (const message of call) received.push(message);
	client.close();
	server.forceShutdown();
	assert.deepEqual(received, messages.map(joined));
});
