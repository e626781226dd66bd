import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ChannelCredentials, Client, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { createLogger } from "@weft/runtime";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { DiscoveryRequest, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { serveGrpcSocket } from "../grpc/socket-server.ts";
import { createFakeIdentity } from "./fake-identity.ts";
import { createSecretService, secretServicePaths } from "./secret-service.ts";

test("a subscriber that does not read is cut off instead of filling memory", async (t) => {
	const directory = mkdtempSync(join(tmpdir(), "weft-sds-"));
	t.after(() => rmSync(directory, { recursive: true }));
	const path = join(directory, "sds.sock");
	const logger = createLogger({ level: "none" });
	const identity = createFakeIdentity();
	const { methods } = createSecretService({ identity, crlPem: () => "", logger });
	const server = await serveGrpcSocket({ path, access: "own", methods, logger });
	const client = new Client(`unix:${path}`, ChannelCredentials.createInsecure());
	const raw = (bytes: Buffer) => bytes;
	const stream = client.makeBidiStreamRequest(secretServicePaths.sotw, raw, raw, new Metadata());
	const renew = (i: number) => identity.put({ certChainPem: `${i}`.repeat(10_000), privateKeyPem: "key", rootsPem: "roots", expiresAtMs: 0, spiffeId: "" });
	renew(0);
	stream.write(Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.create({ resourceNames: ["default"] })).finish()));
	await new Promise((resolve) => stream.once("data", resolve));
	stream.pause();
	const ended = new Promise<ServiceError>((resolve, reject) => {
		stream.on("error", resolve);
		stream.on("end", () => reject(new Error("ended without an error")));
	});
	for (let i = 1; i <= 300; i++) {
		renew(i);
		await new Promise((resolve) => setImmediate(resolve));
	}
	stream.resume();
	assert.equal((await ended).code, status.RESOURCE_EXHAUSTED);
	client.close();
	await server.close();
});

const pair = { certChainPem: "own", privateKeyPem: "key", rootsPem: "roots", expiresAtMs: 0, spiffeId: "" };

/** Asks one SDS server for these names over a socket of its own, and gives what comes of each name. */
async function subscribe(t: TestContext, servesFiles: boolean, names: readonly string[]) {
	const directory = mkdtempSync(join(tmpdir(), "weft-sds-"));
	const path = join(directory, "sds.sock");
	const logger = createLogger({ level: "none" });
	const identity = createFakeIdentity();
	const service = createSecretService({ identity, crlPem: () => "", logger, servesFiles });
	const server = await serveGrpcSocket({ path, access: "own", methods: service.methods, logger });
	const client = new Client(`unix:${path}`, ChannelCredentials.createInsecure());
	const raw = (bytes: Buffer) => bytes;
	const stream = client.makeBidiStreamRequest(secretServicePaths.sotw, raw, raw, new Metadata());
	stream.on("error", () => undefined);
	t.after(async () => {
		client.close();
		service.stop();
		await server.close();
		rmSync(directory, { recursive: true });
	});
	const seen = new Map<string, string>();
	stream.on("data", (bytes: Buffer) => {
		const response = DiscoveryResponse.decode(bytes);
		for (const { value } of response.resources) {
			const { name, tlsCertificate, validationContext } = Secret.decode(value);
			seen.set(name, Buffer.from(tlsCertificate?.certificateChain?.inlineBytes ?? validationContext?.trustedCa?.inlineBytes ?? []).toString());
		}
		const { nonce: responseNonce, versionInfo } = response;
		stream.write(Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.create({ resourceNames: [...names], responseNonce, versionInfo })).finish()));
	});
	identity.put(pair);
	stream.write(Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.create({ resourceNames: [...names] })).finish()));
	return {
		async until(name: string, text: string) {
			while (seen.get(name) !== text) await new Promise((resolve) => setTimeout(resolve, 5));
		},
		seen,
	};
}

test("files are served by their names to the proxy beside, anew when they change and when they come later", { timeout: 60_000 }, async (t) => {
	const directory = mkdtempSync(join(tmpdir(), "weft-files-"));
	t.after(() => rmSync(directory, { recursive: true }));
	const file = (name: string) => join(directory, name);
	writeFileSync(file("cert"), "one");
	writeFileSync(file("key"), "key");
	const [certificate, root] = [`file-cert:${file("cert")}~${file("key")}`, `file-root:${file("later")}`];
	const { until, seen } = await subscribe(t, true, ["default", certificate, root]);
	await until(certificate, "one");
	await until("default", "own");
	assert.equal(seen.has(root), false);
	writeFileSync(file("cert"), "two");
	await until(certificate, "two");
	writeFileSync(file("later"), "root");
	await until(root, "root");
});

test("an application gets none of our files by naming them", async (t) => {
	const file = join(mkdtempSync(join(tmpdir(), "weft-files-")), "secret");
	t.after(() => rmSync(file));
	writeFileSync(file, "ours");
	const { until, seen } = await subscribe(t, false, [`file-root:${file}`, "default"]);
	await until("default", "own");
	assert.deepEqual([...seen.keys()], ["default"]);
});
