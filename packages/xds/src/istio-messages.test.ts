import assert from "node:assert/strict";
import { test } from "node:test";
import { PluginConfig } from "./generated/stats/config.ts";

// On the wire a field is its number: those of Istio's own messages are in istio.io/api, as istiod and istio-proxy have them.
test("istio.stats: the bytes that istiod sends and istio-proxy reads", () => {
	const hex = (config: Parameters<typeof PluginConfig.fromPartial>[0]) =>
		Buffer.from(PluginConfig.encode(PluginConfig.fromPartial(config)).finish()).toString("hex");
	const [varint, bytes] = [0, 2];
	const tag = (field: number, wire: number) => ((field << 3) | wire).toString(16).padStart(2, "0");
	assert.equal(hex({ disableHostHeaderFallback: true }), `${tag(6, varint)}01`);
	assert.equal(hex({ tcpReportingDuration: { seconds: 5n, nanos: 0 } }).slice(0, 2), tag(7, bytes));
	assert.equal(hex({ metrics: [{ drop: true }] }), `${tag(8, bytes)}02${tag(5, varint)}01`);
	assert.equal(hex({ definitions: [{ name: "a" }] }), `${tag(9, bytes)}03${tag(1, bytes)}0161`);
	assert.equal(hex({ reporter: 1 }), `${tag(10, varint)}01`);
	assert.equal(hex({ rotationInterval: {} }).slice(0, 2), tag(11, bytes));
	assert.equal(hex({ gracefulDeletionInterval: {} }).slice(0, 2), tag(12, bytes));
});
