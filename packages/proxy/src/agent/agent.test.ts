import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { ChannelCredentials, Client, type ClientDuplexStream, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { createLogger, systemClock } from "@weft/runtime";
import { healthTypeUrl } from "@weft/xds";
import { DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { adsServiceDefinition } from "./ads-relay.ts";
import { type Agent, startAgent } from "./agent.ts";
import { type AdsCall, type AgentFixture, createAgentFixture } from "./agent-fixture.ts";
import { decodeAgentArguments } from "./arguments.ts";
import { secretServicePaths } from "./secret-service.ts";

type RawStream = ClientDuplexStream<Buffer, Buffer>;
const raw = (bytes: Buffer): Buffer => bytes;
const logger = createLogger({ level: "none" });
const channel = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

let fixture: AgentFixture;
let onAds: (call: AdsCall) => void;
let agent: Agent;
let clients: Client[];

before(async () => {
	fixture = await createAgentFixture((call) => onAds(call));
});
after(() => fixture.close());
beforeEach(() => {
	clients = [];
});
afterEach(async () => {
	for (const client of clients) client.close();
	await agent.close();
});

async function start(flags: readonly string[] = [], identityTimeoutMs?: number, env: Readonly<Record<string, string>> = {}): Promise<Agent> {
	const options = decodeAgentArguments(
		[
			...["--discovery-address", fixture.address, "--root-cert", fixture.rootCertFile, "--token-file", fixture.tokenFile],
			...["--node-id", "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local", ...flags],
		],
		env,
	);
	assert.ok(options.ok);
	agent = await startAgent(options.value, { clock: systemClock, random: Math.random, logger, identityTimeoutMs });
	return agent;
}

function open(socket: string, path: string): RawStream {
	const client = new Client(`unix:${join(agent.bootstrapPath, "..", socket)}`, ChannelCredentials.createInsecure(), channel);
	clients.push(client);
	return client.makeBidiStreamRequest(path, raw, raw, new Metadata());
}

async function until(holds: () => boolean): Promise<void> {
	while (!holds()) await systemClock.sleep(5);
}

const next = (stream: RawStream): Promise<Buffer> =>
	new Promise((resolve, reject) => {
		stream.once("data", resolve);
		stream.once("error", reject);
	});

const errorOf = (stream: RawStream): Promise<ServiceError> =>
	new Promise((resolve, reject) => {
		stream.once("error", resolve);
		stream.once("end", () => reject(new Error("ended without an error")));
		stream.on("data", () => undefined);
	});

const paths = [adsServiceDefinition.streamAggregatedResources.path, adsServiceDefinition.deltaAggregatedResources.path];

describe("the ADS relay", () => {
	for (const path of paths) {
		test(`${path.split("/")[2]} passes bytes unchanged both ways, in order, under the workload's certificate`, async () => {
			let peer: string | undefined;
			onAds = (call) => {
				peer = call.peer;
				call.stream.on("data", (bytes: Buffer) => call.stream.write(Buffer.from(bytes).reverse()));
			};
			await start();
			await agent.identity.ready();
			const stream = open("xds.sock", path);
			// No protobuf at all, and larger than gRPC's usual 4 MiB: whoever decoded them would fail.
			const messages = [randomBytes(10), Buffer.alloc(0), randomBytes(6 * 1024 * 1024), randomBytes(1)];
			for (const message of messages) {
				stream.write(message);
				assert.ok((await next(stream)).equals(Buffer.from(message).reverse()));
			}
			assert.equal(peer, "spiffe://cluster.local/ns/default/sa/web");
			stream.cancel();
			stream.on("error", () => undefined);
		});
	}

	test("what XDS_HEADER_ says goes with the stream", async () => {
		let seen: unknown;
		onAds = ({ stream }) => {
			seen = stream.metadata.get("x-tenant");
			stream.on("data", (bytes: Buffer) => stream.write(bytes));
		};
		await start([], undefined, { "XDS_HEADER_X-Tenant": "blue" });
		const stream = open("xds.sock", paths[0] ?? "");
		stream.write(Buffer.from("a"));
		await next(stream);
		assert.deepEqual(seen, ["blue"]);
		stream.cancel();
		stream.on("error", () => undefined);
	});

	test("the control plane is held against its own roots, where another gives the certificate", async () => {
		const elsewhere = await createAgentFixture(() => undefined);
		try {
			let calls = 0;
			onAds = (call) => {
				calls++;
				call.stream.on("data", (bytes: Buffer) => call.stream.write(bytes));
			};
			await start(["--ca-address", elsewhere.address, "--ca-root-cert", elsewhere.rootCertFile, "--token-file", elsewhere.tokenFile]);
			assert.equal((await agent.identity.ready()).rootsPem, elsewhere.authority.trustBundlePem);
			const stream = open("xds.sock", paths[0] ?? "");
			stream.write(Buffer.from("a"));
			assert.equal((await next(stream)).toString(), "a");
			assert.equal(calls, 1);
			stream.cancel();
			stream.on("error", () => undefined);
		} finally {
			await elsewhere.close();
		}
	});

	for (const [path, messages] of [
		[paths[0] ?? "", DiscoveryRequest],
		[paths[1] ?? "", DeltaDiscoveryRequest],
	] as const) {
		test(`${path.split("/")[2]}: the workload's health goes into the stream behind its first message, and into the next one`, async () => {
			const seen: Buffer[] = [];
			onAds = (call) => void call.stream.on("data", (bytes: Buffer) => void seen.push(bytes));
			await start();
			await agent.identity.ready();
			const health = (at: number) => {
				const { typeUrl, errorDetail } = messages.decode(seen[at] ?? Buffer.alloc(0));
				return `${typeUrl} ${errorDetail?.message ?? "healthy"}`;
			};
			agent.reportHealth("HTTP status 503");
			for (const _ of [1, 2]) {
				seen.length = 0;
				const stream = open("xds.sock", path);
				stream.on("error", () => undefined);
				stream.write(Buffer.from("first"));
				await until(() => seen.length === 2);
				assert.equal(seen[0]?.toString(), "first");
				assert.equal(health(1), `${healthTypeUrl} HTTP status 503`);
				agent.reportHealth(undefined);
				await until(() => seen.length === 3);
				assert.equal(health(2), `${healthTypeUrl} healthy`);
				agent.reportHealth("HTTP status 503");
				await until(() => seen.length === 4);
				stream.cancel();
			}
		});
	}

	test("a reader that does not read holds the control plane up instead of filling memory", async () => {
		const mebibyte = randomBytes(1024 * 1024);
		let written = 0;
		let stalled = () => {};
		const stall = new Promise<void>((resolve) => {
			stalled = resolve;
		});
		onAds = ({ stream }) => {
			const more = () => {
				while (written < 400) {
					written++;
					if (stream.write(mebibyte)) continue;
					// Long enough for a relay without back-pressure to take it all.
					const timer = setTimeout(stalled, 500);
					stream.once("drain", () => {
						clearTimeout(timer);
						more();
					});
					return;
				}
				stalled();
			};
			more();
		};
		await start();
		await agent.identity.ready();
		const stream = open("xds.sock", paths[0] ?? "");
		// One message is read: a client of @grpc/grpc-js that never reads at all does not hold its peer up.
		await next(stream);
		stream.pause();
		await stall;
		// Sixteen messages in each of four stream buffers, and the HTTP/2 windows.
		assert.ok(written < 100, `${written} MiB were taken from the control plane`);
		stream.on("error", () => undefined);
		stream.cancel();
	});

	test("the control plane's refusal reaches Envoy with its code", async () => {
		onAds = ({ stream }) => stream.emit("error", { code: status.PERMISSION_DENIED, details: "not yours" });
		await start();
		await agent.identity.ready();
		const error = await errorOf(open("xds.sock", paths[0] ?? ""));
		assert.deepEqual([error.code, error.details], [status.PERMISSION_DENIED, "not yours"]);
	});

	test("an end without an error reaches Envoy as one, and a cancelled stream reaches the control plane", async () => {
		let cancelled = () => {};
		const gone = new Promise<void>((resolve) => {
			cancelled = resolve;
		});
		let first = true;
		onAds = ({ stream }) => {
			if (first) stream.end();
			else stream.on("cancelled", cancelled).write(Buffer.of(1));
			first = false;
		};
		await start();
		await agent.identity.ready();
		const ended = open("xds.sock", paths[1] ?? "");
		await new Promise((resolve) => ended.on("data", () => undefined).once("end", resolve));
		const stream = open("xds.sock", paths[1] ?? "");
		await next(stream);
		stream.on("error", () => undefined);
		stream.cancel();
		await gone;
	});

	test("a stream that was there before the certificate is relayed as soon as there is one", async () => {
		onAds = ({ stream }) => stream.on("data", (bytes: Buffer) => stream.write(bytes));
		const tokenFile = join(fixture.directory, "waited-for-token");
		await rm(tokenFile, { force: true });
		await start(["--token-file", tokenFile]);
		const stream = open("xds.sock", paths[1] ?? "");
		stream.write(Buffer.from("early"));
		await writeFile(tokenFile, await readFile(fixture.tokenFile));
		assert.equal((await next(stream)).toString(), "early");
		stream.on("error", () => undefined);
		stream.cancel();
	});

	test("without a certificate nothing is relayed", async () => {
		onAds = () => assert.fail("a stream came through");
		await start(["--ca-address", "127.0.0.1:1"], 20);
		const error = await errorOf(open("xds.sock", paths[0] ?? ""));
		assert.deepEqual([error.code, error.details], [status.UNAVAILABLE, "the workload has no certificate yet"]);
	});
});

describe("the agent", () => {
	test("serves secrets to subscribers that were there before the certificate, and pushes renewals", async () => {
		await start();
		const stream = open("sds.sock", secretServicePaths.sotw);
		stream.write(Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.create({ resourceNames: ["default"] })).finish()));
		const first = DiscoveryResponse.decode(await next(stream));
		assert.equal(first.resources.length, 1);
		const pushed = next(stream);
		await agent.identity.renewNow();
		assert.notEqual(DiscoveryResponse.decode(await pushed).versionInfo, first.versionInfo);
		stream.on("error", () => undefined);
		stream.cancel();
	});

	test("its sockets and its bootstrap are for its own user, and go with it", async () => {
		const { bootstrapPath, close } = await start(["--admin-port", "0", "--locality", "r/z", "--node-metadata", '{"A":1}']);
		for (const name of ["sds.sock", "xds.sock", "envoy-bootstrap.json"]) {
			assert.equal((await stat(join(bootstrapPath, "..", name))).mode & 0o777, 0o600);
		}
		const bootstrap = JSON.parse(await readFile(bootstrapPath, "utf8")) as { node: unknown; dynamic_resources: { ads_config: unknown } };
		assert.deepEqual(bootstrap.node, {
			id: "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local",
			cluster: "web-1.default",
			metadata: { A: 1 },
			locality: { region: "r", zone: "z", sub_zone: "" },
		});
		await close();
		await assert.rejects(stat(join(bootstrapPath, "..")), /ENOENT/);
	});

	test("the signer of the node's metadata is told to the authority: ours has none to choose from", async () => {
		const lines: string[] = [];
		const options = decodeAgentArguments(
			[
				...["--discovery-address", fixture.address, "--root-cert", fixture.rootCertFile, "--token-file", fixture.tokenFile],
				...["--node-id", "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local"],
			],
			{ ISTIO_META_CERT_SIGNER: "istio-system" },
		);
		assert.ok(options.ok);
		agent = await startAgent(options.value, { clock: systemClock, random: Math.random, logger: createLogger({ write: (line) => lines.push(line) }) });
		while (!lines.some((line) => line.includes("CertSigner is not supported"))) await new Promise((resolve) => setTimeout(resolve, 10));
	});

	test("a token that appears later is picked up", async () => {
		const tokenFile = join(fixture.directory, "late-token");
		await rm(tokenFile, { force: true });
		await start(["--token-file", tokenFile]);
		await assert.rejects(agent.identity.renewNow(), /ENOENT/);
		await writeFile(tokenFile, await readFile(fixture.tokenFile));
		assert.equal((await agent.identity.ready(AbortSignal.timeout(10_000))).spiffeId, "spiffe://cluster.local/ns/default/sa/web");
	});

	test("a server of another root gets neither token nor request", async () => {
		const other = await createAgentFixture(() => undefined);
		await start(["--ca-address", other.address]);
		await assert.rejects(agent.identity.renewNow(), /UNAVAILABLE: the server.s certificate is not trusted: (SELF_SIGNED|UNABLE_TO_VERIFY|CERT_SIGNATURE)/);
		await other.close();
	});

	test("a server of another name gets neither", async () => {
		await start(["--server-name", "istiod.elsewhere.svc"]);
		await assert.rejects(agent.identity.renewNow(), /UNAVAILABLE: the server.s certificate is for .*, not for istiod.elsewhere.svc/);
	});

	test("a state directory too deep for a socket is refused with the way out", async () => {
		await start();
		await assert.rejects(start(["--state-dir", join(fixture.directory, "x".repeat(100))]), /give a shorter --state-dir/);
	});
});
