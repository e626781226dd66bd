import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger } from "@weft/runtime";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { DeltaDiscoveryRequest, DiscoveryRequest } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { createDeltaSecretStream, createSotwSecretStream } from "./secret-stream.ts";
import { buildSecrets, secretTypeUrl } from "./secrets.ts";

const certificate = (chain: string, roots = "roots") =>
	buildSecrets({ certChainPem: chain, privateKeyPem: `${chain} key`, rootsPem: roots, expiresAtMs: 0, spiffeId: "" });
const first = certificate("one");
const second = certificate("two");

const bytesOf = (secret: Secret) => ({
	name: secret.name,
	chain: secret.tlsCertificate?.certificateChain?.inlineBytes?.toString(),
	key: secret.tlsCertificate?.privateKey?.inlineBytes?.toString(),
	roots: secret.validationContext?.trustedCa?.inlineBytes?.toString(),
});

function createCase() {
	const lines: string[] = [];
	return { lines, logger: createLogger({ write: (line) => lines.push(line) }) };
}

describe("a state-of-the-world SDS stream", () => {
	const ask = (names: readonly string[], rest: Partial<DiscoveryRequest> = {}) =>
		DiscoveryRequest.create({ resourceNames: [...names], typeUrl: secretTypeUrl, ...rest });

	test("answers a subscription with the workload's certificate and key", () => {
		const stream = createSotwSecretStream(createCase().logger);
		assert.equal(stream.onSecrets(first), undefined);
		const response = stream.onRequest(ask(["default"]));
		assert.ok(response);
		assert.equal(response.typeUrl, secretTypeUrl);
		const [any] = response.resources;
		assert.ok(any);
		assert.equal(any.typeUrl, secretTypeUrl);
		assert.deepEqual(bytesOf(Secret.decode(any.value)), { name: "default", chain: "one", key: "one key", roots: undefined });
	});

	test("a subscriber that came first is answered as soon as there is a certificate", () => {
		const stream = createSotwSecretStream(createCase().logger);
		assert.equal(stream.onRequest(ask(["ROOTCA"])), undefined);
		const response = stream.onSecrets(first);
		assert.deepEqual(
			response?.resources.map(({ value }) => bytesOf(Secret.decode(value)).roots),
			["roots"],
		);
	});

	test("an acknowledgement is answered with silence, a renewal is pushed under a new version and nonce", () => {
		const stream = createSotwSecretStream(createCase().logger);
		stream.onSecrets(first);
		const response = stream.onRequest(ask(["default"]));
		assert.ok(response);
		assert.equal(stream.onRequest(ask(["default"], { responseNonce: response.nonce, versionInfo: response.versionInfo })), undefined);
		const pushed = stream.onSecrets(second);
		assert.ok(pushed);
		assert.notEqual(pushed.nonce, response.nonce);
		assert.notEqual(pushed.versionInfo, response.versionInfo);
	});

	test("roots that did not change are not pushed again", () => {
		const stream = createSotwSecretStream(createCase().logger);
		stream.onSecrets(first);
		assert.ok(stream.onRequest(ask(["ROOTCA"])));
		assert.equal(stream.onSecrets(second), undefined);
		assert.ok(stream.onSecrets(certificate("three", "other roots")));
	});

	test("a rejection is logged and not answered, so that it makes no loop", () => {
		const { logger, lines } = createCase();
		const stream = createSotwSecretStream(logger);
		stream.onSecrets(first);
		const nonce = stream.onRequest(ask(["default"]))?.nonce ?? "";
		const errorDetail = { code: 3, message: "bad key", details: [] };
		assert.equal(stream.onRequest(ask(["default"], { responseNonce: nonce, errorDetail })), undefined);
		assert.match(lines.join(""), /rejected by Envoy.*bad key/);
	});

	test("an answer to a superseded response changes nothing", () => {
		const stream = createSotwSecretStream(createCase().logger);
		stream.onSecrets(first);
		stream.onRequest(ask(["default"]));
		stream.onSecrets(second);
		assert.equal(stream.onRequest(ask(["default", "ROOTCA"], { responseNonce: "1" })), undefined);
		assert.equal(stream.onRequest(ask(["default", "ROOTCA"], { responseNonce: "2" }))?.resources.length, 2);
	});

	test("a name that is not served is named in the log", () => {
		const { logger, lines } = createCase();
		const stream = createSotwSecretStream(logger);
		stream.onSecrets(first);
		assert.equal(stream.onRequest(ask(["kubernetes://tls"])), undefined);
		assert.match(lines.join(""), /not served.*kubernetes:\/\/tls/);
	});
});

describe("an incremental SDS stream", () => {
	const ask = (rest: Partial<DeltaDiscoveryRequest>) => DeltaDiscoveryRequest.create({ typeUrl: secretTypeUrl, ...rest });
	const namesOf = (response: { resources: readonly { name: string }[] } | undefined) => response?.resources.map(({ name }) => name);

	test("answers each subscription once and pushes only what changed", () => {
		const stream = createDeltaSecretStream(createCase().logger);
		stream.onSecrets(first);
		assert.deepEqual(namesOf(stream.onRequest(ask({ resourceNamesSubscribe: ["default"] }))), ["default"]);
		const both = stream.onRequest(ask({ resourceNamesSubscribe: ["ROOTCA"] }));
		assert.deepEqual(namesOf(both), ["ROOTCA"]);
		assert.equal(stream.onRequest(ask({ responseNonce: both?.nonce ?? "" })), undefined);
		const pushed = stream.onSecrets(second);
		assert.deepEqual(namesOf(pushed), ["default"]);
		assert.deepEqual(
			pushed?.resources.map(({ resource }) => bytesOf(Secret.decode(resource?.value ?? Buffer.alloc(0))).chain),
			["two"],
		);
	});

	test("what the client says it has in this version is not sent again", () => {
		const stream = createDeltaSecretStream(createCase().logger);
		stream.onSecrets(first);
		const version = first.get("default")?.version ?? "";
		const initial = { default: version, ROOTCA: "old" };
		const response = stream.onRequest(ask({ resourceNamesSubscribe: ["default", "ROOTCA"], initialResourceVersions: initial }));
		assert.deepEqual(namesOf(response), ["ROOTCA"]);
	});

	test("subscribing anew asks again", () => {
		const stream = createDeltaSecretStream(createCase().logger);
		stream.onSecrets(first);
		for (let i = 0; i < 2; i++) assert.deepEqual(namesOf(stream.onRequest(ask({ resourceNamesSubscribe: ["default"] }))), ["default"]);
	});

	test("what is unsubscribed is pushed no more", () => {
		const stream = createDeltaSecretStream(createCase().logger);
		stream.onSecrets(first);
		stream.onRequest(ask({ resourceNamesSubscribe: ["default"] }));
		stream.onRequest(ask({ resourceNamesUnsubscribe: ["default"] }));
		assert.equal(stream.onSecrets(second), undefined);
	});

	test("a name that is not served is told to be gone", () => {
		const stream = createDeltaSecretStream(createCase().logger);
		assert.deepEqual(stream.onRequest(ask({ resourceNamesSubscribe: ["nope", "default"] }))?.removedResources, ["nope"]);
		assert.deepEqual(namesOf(stream.onSecrets(first)), ["default"]);
	});
});
