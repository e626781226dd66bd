import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { readAgentVariables } from "./agent-variables.ts";

suite("variables of the agent", () => {
	test("headers have lower-case names, and their own kind of call", () => {
		const env = { "XDS_HEADER_X-Tenant": "a=b", XDS_HEADER_KEY: "1", CA_HEADER_key: "", OTHER: "x", BOOTSTRAP_XDS_AGENT: "true" };
		assert.deepEqual(readAgentVariables(env), {
			ok: true,
			value: { xdsHeaders: { "x-tenant": "a=b", key: "1" }, caHeaders: { key: "" }, asksForBootstrap: true },
		});
		assert.deepEqual(readAgentVariables({ BOOTSTRAP_XDS_AGENT: "no" }), { ok: true, value: { xdsHeaders: {}, caHeaders: {}, asksForBootstrap: false } });
	});

	for (const [variable, value, reason] of [
		["XDS_HEADER_", "a", /^XDS_HEADER_: a name of letters/],
		["CA_HEADER_a b", "a", /^CA_HEADER_a b: a name of letters/],
		["XDS_HEADER_grpc-timeout", "1S", /gRPC uses the header grpc-timeout itself/],
		["XDS_HEADER_TE", "gzip", /gRPC uses the header te itself/],
		["CA_HEADER_KEY-bin", "AA", /gRPC uses the header key-bin itself/],
		["CA_HEADER_A", "a\r\nb: c", /^CA_HEADER_A: the value of a header is printable ASCII/],
	] as const) {
		test(`${JSON.stringify(`${variable}=${value}`)} is refused`, () => {
			const read = readAgentVariables({ [variable]: value });
			assert.ok(!read.ok);
			assert.match(read.reason, reason);
		});
	}
});
