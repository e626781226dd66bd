import assert from "node:assert/strict";
import { test } from "node:test";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { RuntimeValues } from "../runtime-values.ts";
import { rootAt } from "./issues.ts";
import { decodeRuntime, decodeRuntimeStruct, readRuntimeText } from "./runtime.ts";

const whole = (numerator: number) => ({ numerator, denominator: 100 });

test("a structure is flat keys, with what each can be read as", () => {
	const { entries, errors } = decodeRuntimeStruct({
		a: { b: { c: 5 }, on: true },
		text: "plain",
		number: "55",
		share: { numerator: 3, denominator: "TEN_THOUSAND" },
		none: {},
		odd: { numerator: 1, other: 2 },
		cut: 99.5,
		below: -1,
	});
	assert.deepEqual(errors, []);
	assert.deepEqual(Object.fromEntries(entries), {
		"a.b.c": { text: "5", number: 5, integer: 5, share: whole(5) },
		"a.on": { text: "true", flag: true },
		text: { text: "plain" },
		number: { text: "55", number: 55, integer: 55, share: whole(55) },
		share: { text: '{"numerator":3,"denominator":"TEN_THOUSAND"}', share: { numerator: 3, denominator: 10_000 } },
		none: { text: "{}", share: whole(0) },
		odd: { text: '{"numerator":1,"other":2}' },
		cut: { text: "99.5", number: 99.5, integer: 99, share: whole(99) },
		below: { text: "-1", number: -1 },
	});
});

test("lists, nulls and bottomless structures are refused, and nothing of them counts", () => {
	const deep: Record<string, unknown> = {};
	let at = deep;
	for (let i = 0; i < 100; i++) at = at["k"] = {} as Record<string, unknown>;
	at["k"] = 1;
	for (const [struct, error] of [
		[{ fine: 1, x: { y: [1] } }, /^Invalid runtime entry value for x\.y$/],
		[{ x: null }, /^Invalid runtime entry value for x$/],
		[deep, /^nested deeper than 64$/],
	] as const) {
		const { entries, errors } = decodeRuntimeStruct(struct);
		assert.equal(entries.size, 0);
		assert.match(errors.join(), error);
	}
});

test("numbers are shown with six digits, as C writes them", () => {
	const shown = (value: number) => decodeRuntimeStruct({ value }).entries.get("value")?.text;
	const cases = { 1234567: "1.23457e+06", 999999: "999999", 0: "0", 0.1: "0.1", 0.0000123: "1.23e-05", 0.000123: "0.000123", 1e20: "1e+20" };
	for (const [value, text] of Object.entries(cases)) assert.equal(shown(Number(value)), text);
	assert.equal(shown(-3), "-3");
});

test("a text is YAML, kept as it was written", () => {
	assert.deepEqual(readRuntimeText("{numerator: 1, denominator: MILLION}").share, { numerator: 1, denominator: 1_000_000 });
	assert.deepEqual(readRuntimeText(" 12 "), { text: " 12 ", number: 12, integer: 12, share: whole(12) });
	assert.deepEqual(readRuntimeText("yes"), { text: "yes", flag: true });
	assert.deepEqual(readRuntimeText('"12"'), { text: '"12"' });
	assert.deepEqual(readRuntimeText("[1]"), { text: "[1]" });
	assert.deepEqual(readRuntimeText(""), { text: "" });
	assert.throws(() => readRuntimeText("{"));
});

const environment = { readFile: () => new Uint8Array(), variable: () => undefined };
const decode = (layers: readonly object[], more: object = {}) => {
	const at = rootAt();
	const value = decodeRuntime(at, Bootstrap.fromPartial({ node: { cluster: "service" }, layeredRuntime: { layers: [...layers] }, ...more }), environment);
	return { value, errors: at.errors };
};

test("layers of the bootstrap, and what is wrong with them", () => {
	const disk = { symlinkRoot: "/srv/current", subdirectory: "envoy" };
	const { errors, value } = decode([
		{ name: "a", staticLayer: { x: 1 } },
		{ name: "b", diskLayer: disk },
		{ name: "c", diskLayer: { ...disk, appendServiceCluster: true } },
		{ name: "d", rtdsLayer: { name: "mesh", rtdsConfig: { pathConfigSource: { path: "/f" }, initialFetchTimeout: { seconds: 3n } } } },
		{ name: "e", adminLayer: {} },
	]);
	assert.deepEqual(errors, []);
	const fileId = value[3]?.kind === "discovered" ? value[3].source.id : "";
	assert.deepEqual(value.slice(1), [
		{ name: "b", kind: "disk", link: "/srv/current", folder: "/srv/current/envoy" },
		{ name: "c", kind: "disk", link: "/srv/current", folder: "/srv/current/envoy/service" },
		{
			name: "d",
			kind: "discovered",
			resource: "mesh",
			source: { kind: "file", id: fileId, path: "/f", watchedFolder: undefined, initialFetchTimeoutMs: 3000 },
		},
		{ name: "e", kind: "admin" },
	]);
	assert.deepEqual(decode([]).value, []);
	for (const [layers, error] of [
		[
			[
				{ name: "a", staticLayer: {} },
				{ name: "a", staticLayer: {} },
			],
			/^Duplicate layer name: a$/,
		],
		[
			[
				{ name: "a", adminLayer: {} },
				{ name: "b", adminLayer: {} },
			],
			/^Too many admin layers/,
		],
		[[{ name: "a" }], /^layers\[0\]: layer_specifier/],
		[[{ name: "a", staticLayer: { x: [] } }], /^layers\[0\]\.staticLayer: Invalid runtime entry value for x$/],
		[[{ name: "a", diskLayer: {} }], /symlinkRoot: is not set$/],
		[[{ name: "a", rtdsLayer: { name: "r", rtdsConfig: { ads: {} } } }], /needs dynamic_resources\.ads_config/],
		[
			[{ name: "a", rtdsLayer: { name: "r", rtdsConfig: { apiConfigSource: { apiType: 1 } } } }],
			/rtdsConfig\.apiConfigSource\.apiType: REST is not implemented/,
		],
	] as const)
		assert.match(decode(layers).errors.join(), error);
});

test("values are asked for by key, and the configuration's own hold for the others", () => {
	const { entries } = decodeRuntimeStruct({ n: 7, f: 1.5, on: true, share: { numerator: 1, denominator: "MILLION" }, many: 250, text: "x" });
	const runtime = new RuntimeValues(entries);
	assert.deepEqual([runtime.integer("n", 1), runtime.integer("text", 1), runtime.integer("gone", 1)], [7, 1, 1]);
	assert.deepEqual([runtime.number("f", 1), runtime.percent("many", 5), runtime.percent("gone", 5)], [1.5, 100, 5]);
	assert.deepEqual(
		[runtime.isOn({ value: false, runtimeKey: "on" }), runtime.isOn({ value: false }), runtime.isOn({ value: true, runtimeKey: "n" })],
		[true, false, true],
	);
	const half = { numerator: 50, denominator: 100 } as const;
	assert.deepEqual(runtime.share({ ...half, runtimeKey: "share" }), { numerator: 1, denominator: 1_000_000 });
	assert.deepEqual([runtime.share(half), runtime.share(half, "n")], [half, whole(7)]);
	runtime.replace(new Map());
	assert.ok(runtime.isEmpty);
	assert.equal(runtime.integer("n", 1), 1);
});
