import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ChannelCredentials, Client, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { createLogger, systemClock } from "@weft/runtime";
import { Node } from "../generated/envoy/config/core/v3/base.ts";
import { Cluster } from "../generated/envoy/config/cluster/v3/cluster.ts";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse } from "../generated/envoy/service/discovery/v3/discovery.ts";
import { packAny } from "../any.ts";
import { healthTypeUrl, typeUrls } from "../type-urls.ts";
import { type OpenByteStream, openXdsStream } from "./stream.ts";
import { createXdsClient, type RejectedResource, type XdsUpdate } from "./xds-client.ts";

type Call<Q, R> = ServerDuplexStream<Q, R>;

/** A management server that hands its streams and their requests to the test, one by one. */
class TestServer<Q, R> {
	readonly #server = new Server();
	readonly #requests: Q[] = [];
	#wake: (() => void) | undefined;
	call: Call<Q, R> | undefined;
	port = 0;

	constructor(path: string, requests: { decode(bytes: Uint8Array): Q }, responses: { encode(message: R): { finish(): Uint8Array } }) {
		const method = {
			path,
			requestStream: true,
			responseStream: true,
			requestSerialize: () => Buffer.alloc(0),
			requestDeserialize: (bytes: Buffer) => requests.decode(bytes),
			responseSerialize: (message: R) => Buffer.from(responses.encode(message).finish()),
			responseDeserialize: () => undefined,
		};
		const handler = (call: Call<Q, R>) => {
			this.call = call;
			call.on("data", (request: Q) => {
				this.#requests.push(request);
				this.#wake?.();
			});
			call.on("error", () => {});
			call.on("end", () => call.end());
		};
		this.#server.addService({ stream: method }, { stream: handler });
	}

	async listen(): Promise<void> {
		this.port = await new Promise((resolve, reject) => {
			this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)));
		});
	}

	async next(): Promise<Q> {
		while (this.#requests.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
		return this.#requests.shift() as Q;
	}

	close(): void {
		this.#server.forceShutdown();
	}
}

/** The field's own client; the proxy has another. */
function openGrpcJs(port: number): OpenByteStream {
	return (path, { onMessage, onEnd }) => {
		const client = new Client(`127.0.0.1:${port}`, ChannelCredentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
		const same = (bytes: Buffer): Buffer => bytes;
		const call = client.makeBidiStreamRequest(path, same, same);
		call.on("data", onMessage);
		call.on("error", (error: Error) => onEnd(error.message));
		call.on("end", () => onEnd("ended"));
		const cancel = () => {
			call.cancel();
			client.close();
		};
		return { send: (message) => void call.write(Buffer.from(message)), pause: () => void call.pause(), resume: () => void call.resume(), cancel };
	};
}

const quiet = createLogger({ level: "none" });

function clusterAny(name: string) {
	return packAny("envoy.config.cluster.v3.Cluster", Cluster, Cluster.fromPartial({ name }));
}

function runClient(mode: "delta" | "sotw", port: number, apply: (update: XdsUpdate) => Promise<readonly RejectedResource[]>) {
	const abort = new AbortController();
	const client = createXdsClient({
		mode,
		open: openXdsStream(mode, openGrpcJs(port)),
		node: Node.fromPartial({ id: "proxy-1" }),
		apply,
		// Reconnects at once.
		clock: { ...systemClock, sleep: (_, signal) => systemClock.sleep(5, signal) },
		random: () => 0,
		logger: quiet,
		server: "test",
	});
	return { client, abort, run: () => client.run(abort.signal) };
}

describe("delta client", () => {
	const server = new TestServer(
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
		DeltaDiscoveryRequest,
		DeltaDiscoveryResponse,
	);
	before(() => server.listen());
	after(() => server.close());

	it("subscribes, acknowledges, refuses, follows names and tells what it has when it comes back", async () => {
		const updates: XdsUpdate[] = [];
		const { client, abort, run } = runClient("delta", server.port, async (update) => {
			updates.push(update);
			return update.resources.filter(({ name }) => name.startsWith("bad")).map(({ name }) => ({ name, message: "no good" }));
		});
		client.subscribe(typeUrls.cds, "*");
		client.subscribe(typeUrls.eds, ["a"]);
		const running = run();

		const first = await server.next();
		assert.equal(first.node?.id, "proxy-1");
		assert.equal(first.typeUrl, typeUrls.cds);
		assert.deepEqual(first.resourceNamesSubscribe, []);
		const second = await server.next();
		assert.equal(second.node, undefined);
		assert.deepEqual(second.resourceNamesSubscribe, ["a"]);

		const resource = (name: string, version: string) => ({ name, version, resource: clusterAny(name) });
		server.call?.write(DeltaDiscoveryResponse.fromPartial({ typeUrl: typeUrls.cds, nonce: "n1", systemVersionInfo: "s1", resources: [resource("a", "1")] }));
		const ack = await server.next();
		assert.equal(ack.responseNonce, "n1");
		assert.equal(ack.errorDetail, undefined);

		server.call?.write(
			DeltaDiscoveryResponse.fromPartial({
				typeUrl: typeUrls.cds,
				nonce: "n2",
				resources: [resource("bad1", "2"), resource("b", "2"), resource("bad2", "2")],
				removedResources: ["x"],
			}),
		);
		const nack = await server.next();
		assert.equal(nack.responseNonce, "n2");
		assert.equal(nack.errorDetail?.message, "bad1: no good\nbad2: no good");

		client.subscribe(typeUrls.eds, ["b", "c"]);
		const change = await server.next();
		assert.deepEqual([change.resourceNamesSubscribe, change.resourceNamesUnsubscribe], [["b", "c"], ["a"]]);

		server.call?.end();
		const again = await server.next();
		assert.equal(again.node?.id, "proxy-1");
		assert.deepEqual(again.initialResourceVersions, { a: "1", b: "2" });
		assert.deepEqual((await server.next()).resourceNamesSubscribe, ["b", "c"]);
		assert.equal(updates.length, 2);
		abort.abort();
		await running;
	});
});

describe("names beside all there is", () => {
	const server = new TestServer(
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
		DeltaDiscoveryRequest,
		DeltaDiscoveryResponse,
	);
	before(() => server.listen());
	after(() => server.close());

	it("are asked for, asked for again, given up, and asked for with all in the next stream", async () => {
		const { client, abort, run } = runClient("delta", server.port, async () => []);
		client.subscribe(typeUrls.cds, "*");
		const running = run();
		const next = async () => {
			const { resourceNamesSubscribe, resourceNamesUnsubscribe } = await server.next();
			return [resourceNamesSubscribe, resourceNamesUnsubscribe];
		};
		assert.deepEqual(await next(), [[], []]);
		client.subscribe(typeUrls.cds, ["*", "a"]);
		assert.deepEqual(await next(), [["a"], []]);
		client.askAgain(typeUrls.cds, ["a"]);
		assert.deepEqual(await next(), [["a"], []]);
		client.subscribe(typeUrls.cds, ["*", "b"]);
		assert.deepEqual(await next(), [["b"], ["a"]]);
		server.call?.end();
		assert.deepEqual(await next(), [["*", "b"], []]);
		client.subscribe(typeUrls.cds, ["*"]);
		assert.deepEqual(await next(), [[], ["b"]]);
		abort.abort();
		await running;
	});
});

describe("health of the workload", () => {
	for (const mode of ["delta", "sotw"] as const) {
		it(`is told when it changes, and again in a new stream: ${mode}`, async () => {
			const server =
				mode === "delta"
					? new TestServer("/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", DeltaDiscoveryRequest, DeltaDiscoveryResponse)
					: new TestServer("/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", DiscoveryRequest, DiscoveryResponse);
			await server.listen();
			const { client, abort, run } = runClient(mode, server.port, async () => []);
			client.subscribe(typeUrls.cds, "*");
			client.reportHealth("starting");
			const running = run();
			const next = async () => {
				const { node, typeUrl, errorDetail } = await server.next();
				return { node: node?.id, typeUrl, problem: errorDetail?.message };
			};
			const first = [await next(), await next()];
			assert.deepEqual(first, [
				{ node: "proxy-1", typeUrl: typeUrls.cds, problem: undefined },
				{ node: undefined, typeUrl: healthTypeUrl, problem: "starting" },
			]);
			client.reportHealth(undefined);
			assert.deepEqual(await next(), { node: undefined, typeUrl: healthTypeUrl, problem: undefined });
			server.call?.end();
			assert.equal((await next()).node, "proxy-1");
			assert.deepEqual(await next(), { node: undefined, typeUrl: healthTypeUrl, problem: undefined });
			abort.abort();
			await running;
			server.close();
		});
	}
});

describe("state of the world client", () => {
	const server = new TestServer("/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", DiscoveryRequest, DiscoveryResponse);
	before(() => server.listen());
	after(() => server.close());

	it("keeps the accepted version in a refusal and finds out what is gone", async () => {
		const updates: XdsUpdate[] = [];
		const { client, abort, run } = runClient("sotw", server.port, async (update) => {
			updates.push(update);
			return update.resources.filter(({ name }) => name === "bad").map(({ name }) => ({ name, message: "no good" }));
		});
		client.subscribe(typeUrls.cds, "*");
		const running = run();
		assert.equal((await server.next()).versionInfo, "");
		server.call?.write(DiscoveryResponse.fromPartial({ typeUrl: typeUrls.cds, nonce: "1", versionInfo: "v1", resources: [clusterAny("a"), clusterAny("b")] }));
		const ack = await server.next();
		assert.deepEqual([ack.versionInfo, ack.responseNonce, ack.errorDetail], ["v1", "1", undefined]);
		server.call?.write(
			DiscoveryResponse.fromPartial({ typeUrl: typeUrls.cds, nonce: "2", versionInfo: "v2", resources: [clusterAny("b"), clusterAny("bad")] }),
		);
		const nack = await server.next();
		assert.deepEqual([nack.versionInfo, nack.responseNonce, nack.errorDetail?.message], ["v1", "2", "bad: no good"]);
		assert.deepEqual(updates[1]?.removed, ["a"]);
		abort.abort();
		await running;
	});
});
