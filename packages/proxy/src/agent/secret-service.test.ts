import assert from "node:assert/strict";
import { test } from "node:test";
import { ChannelCredentials, Client, Metadata, Server, ServerCredentials, type ServiceError, status } from "@grpc/grpc-js";
import { createLogger } from "@weft/runtime";
import { DiscoveryRequest } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { addSecretService, secretServiceDefinition } from "./secret-service.ts";
import type { IdentityListener, WorkloadIdentity } from "./workload-identity.ts";

test("a subscriber that does not read is cut off instead of filling memory", async () => {
	let publish: IdentityListener = () => assert.fail("nobody subscribed");
	const identity: WorkloadIdentity = {
		current: undefined,
		trust: () => assert.fail(),
		subscribe(listener) {
			publish = listener;
			return () => undefined;
		},
		ready: () => assert.fail("not asked for"),
		run: () => assert.fail("not asked for"),
		renewNow: () => assert.fail("not asked for"),
	};
	const server = new Server();
	addSecretService(server, identity, createLogger({ level: "none" }));
	const port = await new Promise<number>((resolve) => {
		server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, bound) => resolve(bound));
	});
	const client = new Client(`127.0.0.1:${port}`, ChannelCredentials.createInsecure());
	const raw = (bytes: Buffer) => bytes;
	const stream = client.makeBidiStreamRequest(secretServiceDefinition.streamSecrets.path, raw, raw, new Metadata());
	const renew = (i: number) => publish({ certChainPem: `${i}`.repeat(10_000), privateKeyPem: "key", rootsPem: "roots", expiresAtMs: 0, spiffeId: "" });
	renew(0);
	stream.write(Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.create({ resourceNames: ["default"] })).finish()));
	await new Promise((resolve) => stream.once("data", resolve));
	stream.pause();
	for (let i = 1; i <= 300; i++) {
		renew(i);
		await new Promise((resolve) => setImmediate(resolve));
	}
	const error = await new Promise<ServiceError>((resolve, reject) => {
		stream.on("error", resolve);
		stream.on("end", () => reject(new Error("ended without an error")));
		stream.resume();
	});
	assert.deepEqual([error.code, error.details], [status.RESOURCE_EXHAUSTED, "secrets are not being read"]);
	client.close();
	server.forceShutdown();
});
