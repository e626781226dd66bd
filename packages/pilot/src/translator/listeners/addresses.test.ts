import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cidrRange, listenerName, parseSocketAddress } from "./addresses.ts";

describe("socket addresses", () => {
	const cases: readonly (readonly [string, unknown])[] = [
		["127.0.0.1:80", { ip: "127.0.0.1", port: 80 }],
		["[::1]:8080", { ip: "::1", port: 8080 }],
		["reviews.default.svc.cluster.local:9080", { ip: "reviews.default.svc.cluster.local", port: 9080 }],
		["127.0.0.1", undefined],
		["127.0.0.1:0", undefined],
		["127.0.0.1:65536", undefined],
		[":80", undefined],
		["", undefined],
	];
	for (const [text, expected] of cases) it(`reads ${JSON.stringify(text)}`, () => assert.deepEqual(parseSocketAddress(text), expected));

	it("name a listener by address and port", () => assert.equal(listenerName({ ip: "10.0.0.1", port: 80 }), "10.0.0.1_80"));

	it("become ranges, a bare one the whole of itself", () => {
		assert.deepEqual(cidrRange("10.0.0.0/8"), { addressPrefix: "10.0.0.0", prefixLen: 8 });
		assert.deepEqual(cidrRange("10.0.0.1"), { addressPrefix: "10.0.0.1", prefixLen: 32 });
		assert.deepEqual(cidrRange("2001:db8::1"), { addressPrefix: "2001:db8::1", prefixLen: 128 });
	});
});
