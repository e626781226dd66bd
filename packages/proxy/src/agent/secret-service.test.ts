import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ChannelCredentials, Client, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { createLogger } from "@weft/runtime";
import { DiscoveryRequest } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { serveGrpcSocket } from "../grpc/socket-server.ts";
import { createFakeIdentity } from "./fake-identity.ts";
import { createSecretService, secretServicePaths } from "./secret-service.ts";

test("a subscriber that does not read is cut off instead of filling memory", async (t) => {
	const directory = mkdtempSync(join(tmpdir(), "weft-sds-"));
	t.after(() => rmSync(directory, { recursive: true }));
	const path = join(directory, "sds.sock");
	const logger = createLogger({ level: "none" });
	const identity = createFakeIdentity();
	const { methods } = createSecretService(identity, () => "", logger);
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
