import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { ChannelCredentials, Client, type ClientReadableStream, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { encodePem } from "@weft/pki";
import { createLogger } from "@weft/runtime";
import { X509BundlesResponse, X509SVIDResponse } from "@weft/xds/generated/spiffe/workload/workload.ts";
import { type AgentFixture, createAgentFixture } from "./agent-fixture.ts";
import { createFakeIdentity, type FakeIdentity } from "./fake-identity.ts";
import { workloadApiPaths } from "./workload-api.ts";
import type { WorkloadCertificate } from "./workload-certificate.ts";
import { serveWorkloadSocket, type WorkloadSocket } from "./workload-socket.ts";

const raw = (bytes: Buffer) => bytes;
const logger = createLogger({ level: "none" });

let directory: string;
let fixture: AgentFixture;
let web: WorkloadCertificate;
let identity: FakeIdentity;
let socket: WorkloadSocket;
let crl = "";
const clients: Client[] = [];

before(async () => {
	fixture = await createAgentFixture(() => undefined);
	web = await issue();
});
after(() => fixture.close());

async function issue(): Promise<WorkloadCertificate> {
	const { chainPem, privateKeyPem } = await fixture.issue("web");
	const rootsPem = fixture.authority.trustBundlePem;
	return { certChainPem: chainPem.join(""), privateKeyPem, rootsPem, expiresAtMs: Date.now() + 60_000, spiffeId: "spiffe://cluster.local/ns/default/sa/web" };
}

async function start(): Promise<void> {
	directory = mkdtempSync(join(tmpdir(), "weft-spiffe-"));
	identity = createFakeIdentity();
	crl = "";
	socket = await serveWorkloadSocket({ path: join(directory, "socket"), identity, crlPem: () => crl, logger });
}

afterEach(async () => {
	for (const client of clients.splice(0)) client.close();
	await socket.close();
	rmSync(directory, { recursive: true });
});

type Stream = ClientReadableStream<Buffer>;

function open(path: string, fields: Readonly<Record<string, string>> = { "workload.spiffe.io": "true" }): Stream {
	const metadata = new Metadata();
	for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
	const client = new Client(`unix:${join(directory, "socket")}`, ChannelCredentials.createInsecure());
	clients.push(client);
	const stream = client.makeServerStreamRequest(path, raw, raw, Buffer.alloc(0), metadata);
	stream.on("error", () => undefined);
	return stream;
}

const next = (stream: Stream): Promise<Buffer> =>
	new Promise((resolve, reject) => {
		stream.once("data", resolve);
		stream.once("error", reject);
	});
const refusal = async (stream: Stream): Promise<readonly [number, string]> => {
	const error: unknown = await next(stream).then(
		() => assert.fail("there was an answer"),
		(reason: unknown) => reason,
	);
	const { code, details } = error as ServiceError;
	return [code, details];
};

const derOf = (pem: string) => new X509Certificate(pem).raw;

describe("the SPIFFE Workload API", () => {
	test("an application gets its proxy's SVID with key and bundle, and each renewal", async () => {
		await start();
		identity.put(web);
		const stream = open(workloadApiPaths.svids);
		const first = X509SVIDResponse.decode(await next(stream));
		const [svid] = first.svids;
		assert.ok(svid);
		assert.deepEqual([first.svids.length, svid.spiffeId, first.crl, first.federatedBundles], [1, web.spiffeId, [], {}]);
		const leaf = new X509Certificate(svid.x509Svid);
		assert.equal(leaf.subjectAltName, `URI:${web.spiffeId}`);
		assert.ok(leaf.checkPrivateKey(createPrivateKey({ key: Buffer.from(svid.x509SvidKey), format: "der", type: "pkcs8" })));
		assert.deepEqual(Buffer.from(svid.bundle), derOf(web.rootsPem));
		const pushed = next(stream);
		const renewed = await issue();
		identity.put(renewed);
		assert.deepEqual(Buffer.from(X509SVIDResponse.decode(await pushed).svids[0]?.x509Svid ?? []), derOf(renewed.certChainPem));
	});

	test("bundles are named by their trust domain, and revocation lists go along as they come", async () => {
		await start();
		identity.put(web);
		const stream = open(workloadApiPaths.bundles);
		const first = X509BundlesResponse.decode(await next(stream));
		assert.deepEqual(Object.keys(first.bundles), ["spiffe://cluster.local"]);
		assert.deepEqual(Buffer.from(first.bundles["spiffe://cluster.local"] ?? []), derOf(web.rootsPem));
		const pushed = next(stream);
		// A renewal changes no bundle, and so says nothing.
		identity.put(await issue());
		crl = encodePem("X509 CRL", Buffer.from("list"));
		socket.refresh();
		assert.deepEqual(
			X509BundlesResponse.decode(await pushed).crl.map((der) => Buffer.from(der).toString()),
			["list"],
		);
	});

	test("whoever does not send the security header gets nothing, whatever is asked", async () => {
		await start();
		identity.put(web);
		for (const path of [workloadApiPaths.svids, workloadApiPaths.bundles, ...workloadApiPaths.jwt]) {
			const others: readonly Readonly<Record<string, string>>[] = [{}, { "workload.spiffe.io": "True" }, { "workload.spiffe.io": "1" }];
			for (const fields of others) {
				assert.deepEqual(await refusal(open(path, fields)), [status.INVALID_ARGUMENT, "the metadata workload.spiffe.io: true is missing"], path);
			}
		}
	});

	test("JWT-SVIDs are UNIMPLEMENTED in so many words", async () => {
		await start();
		identity.put(web);
		const expected = [status.UNIMPLEMENTED, "JWT-SVIDs are not implemented: this Workload API serves X.509-SVIDs"];
		assert.deepEqual(
			[...workloadApiPaths.jwt].sort(),
			["FetchJWTBundles", "FetchJWTSVID", "ValidateJWTSVID"].map((name) => `/SpiffeWorkloadAPI/${name}`),
		);
		for (const path of workloadApiPaths.jwt) assert.deepEqual(await refusal(open(path)), expected);
		// With a certificate or without: clients need not ask again.
		identity.put(undefined);
		for (const path of workloadApiPaths.jwt) assert.deepEqual(await refusal(open(path)), expected);
	});

	test("profiles of later versions are UNIMPLEMENTED, as they ask of a server without them", async () => {
		await start();
		for (const name of ["FetchWITSVID", "FetchWITBundles"]) assert.equal((await refusal(open(`/SpiffeWorkloadAPI/${name}`)))[0], status.UNIMPLEMENTED);
	});

	test("without a certificate it is UNAVAILABLE, and open streams end when the last one has expired", async () => {
		await start();
		const unavailable = [status.UNAVAILABLE, "the workload has no valid certificate"];
		assert.deepEqual(await refusal(open(workloadApiPaths.svids)), unavailable);
		identity.put(web);
		const stream = open(workloadApiPaths.svids);
		await next(stream);
		const ended = refusal(stream);
		identity.put(undefined);
		assert.deepEqual(await ended, unavailable);
	});

	test("a socket that a dead proxy left behind is taken over", async () => {
		await start();
		const second = await serveWorkloadSocket({ path: join(directory, "socket"), identity, crlPem: () => "", logger });
		identity.put(web);
		await next(open(workloadApiPaths.svids));
		await second.close();
	});
});
