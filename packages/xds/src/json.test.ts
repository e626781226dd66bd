import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { before, test } from "node:test";
import { messageFns, registerMessages } from "./any.ts";
import { allMessages } from "./generated/registry.ts";
import { fromJson, JsonError, toJson } from "./json.ts";
import { messageSchema } from "./schema.ts";
import { typeUrls, type XdsType } from "./type-urls.ts";

const cluster = "envoy.config.cluster.v3.Cluster";

before(() => registerMessages(allMessages));

function roundTrip(typeName: string, json: unknown): unknown {
	const fns = messageFns(typeName);
	assert.ok(fns);
	return toJson(typeName, fns.decode(fns.encode(fromJson(typeName, json)).finish()));
}

test("every message's generated properties are its JSON names", () => {
	for (const [name, fns] of Object.entries(allMessages)) {
		const schema = messageSchema(name);
		if (!schema) continue;
		assert.deepEqual(Object.keys(fns.fromPartial({}) as object).sort(), schema.fields.map((f) => f.json).sort(), name);
	}
});

const cases: readonly (readonly [string, unknown])[] = [
	["durations of whole and broken seconds", { connectTimeout: "10s", cleanupInterval: "0.250s" }],
	["wrappers are their values, zero included", { perConnectionBufferLimitBytes: 0, maxRequestsPerConnection: 7 }],
	["enums by name", { type: "EDS", lbPolicy: "RING_HASH" }],
	["64-bit numbers as strings", { ringHashLbConfig: { minimumRingSize: "1024" } }],
	["structs and nulls", { metadata: { filterMetadata: { istio: { a: [1, "x", null, { b: true }] } } } }],
	[
		"an Any opened",
		{ transportSocket: { name: "raw", typedConfig: { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" } } },
	],
	["percent as a double", { commonLbConfig: { healthyPanicThreshold: { value: 12.5 } } }],
	["an empty message that is set", { commonLbConfig: {} }],
];

for (const [name, json] of cases) {
	test(`round trip: ${name}`, () => assert.deepEqual(roundTrip(cluster, json), json));
}

test("proto names and numbers for enums are accepted", () => {
	assert.deepEqual(roundTrip(cluster, { connect_timeout: "1s", type: 3 }), { connectTimeout: "1s", type: "EDS" });
});

const refused: readonly (readonly [string, unknown, string])[] = [
	["an unknown field", { conect_timeout: "1s" }, 'conect_timeout: envoy.config.cluster.v3.Cluster has no field "conect_timeout"'],
	["a duration without unit", { connectTimeout: "10" }, 'connectTimeout: expected a duration such as "1.5s", got "10"'],
	["an unknown enum value", { lbPolicy: "BEST" }, "lbPolicy"],
	["two of a oneof", { type: "EDS", clusterType: { name: "x" } }, 'only one of "type" and "clusterType"'],
	["an Any without type", { transportSocket: { typedConfig: {} } }, 'transportSocket.typedConfig: has no "@type"'],
	["an unknown type", { transportSocket: { typedConfig: { "@type": "type.googleapis.com/a.B" } } }, "unknown type type.googleapis.com/a.B"],
	["a number out of range", { maxRequestsPerConnection: 4294967296 }, "outside of uint32"],
	["a list where an object belongs", { commonLbConfig: [] }, "commonLbConfig: expected an object"],
];

for (const [name, json, message] of refused) {
	test(`refused with its place: ${name}`, () =>
		assert.throws(
			() => fromJson(cluster, json),
			(e) => e instanceof JsonError && e.message.includes(message),
		));
}

test("hostile depth is refused, not recursed into", () => {
	let json: unknown = {};
	for (let i = 0; i < 5000; i++) json = { clusterType: { typedConfig: json } };
	assert.throws(() => fromJson(cluster, json), JsonError);
});

const golden = resolve(import.meta.dirname, "../../../../shared/golden/istiod");

test("what a real istiod sends survives JSON → bytes → JSON unchanged", {
	skip: existsSync(golden) ? false : "the golden corpus is not beside this checkout",
}, () => {
	let resources = 0;
	for (const entry of readdirSync(golden, { recursive: true, withFileTypes: true })) {
		const type = /^(cds|eds|lds|rds|ecds)\.json$/.exec(entry.name)?.[1] as XdsType | undefined;
		if (!type) continue;
		const content = JSON.parse(readFileSync(join(entry.parentPath, entry.name), "utf8")) as unknown[] | { changed?: unknown[] };
		for (const resource of Array.isArray(content) ? content : (content.changed ?? [])) {
			assert.deepEqual(roundTrip(typeUrls[type].slice("type.googleapis.com/".length), resource), resource, join(entry.parentPath, entry.name));
			resources++;
		}
	}
	assert.ok(resources > 1900, `${resources} resources compared`);
});
