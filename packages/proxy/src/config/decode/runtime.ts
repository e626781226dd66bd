import type { Bootstrap, RuntimeLayer as LayerMessage } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { parseYamlSource } from "../bootstrap/yaml-source.ts";
import type { Fraction } from "../matchers.ts";
import type { RuntimeLayer } from "../runtime-layers.ts";
import { noRuntimeEntries, type RuntimeEntries, type RuntimeEntry } from "../runtime-values.ts";
import { decodeConfigSource } from "./config-source.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { type At, report, under } from "./issues.ts";

/** Structures deeper than that are refused rather than walked. */
const depthMax = 64;

/** `layered_runtime`. */
export function decodeRuntime(at: At, { dynamicResources, layeredRuntime, node }: Bootstrap, environment: DecodeEnvironment): readonly RuntimeLayer[] {
	const layers = layeredRuntime?.layers ?? [];
	const names = new Set<string>();
	for (const { name } of layers) {
		if (names.has(name)) report(at, `Duplicate layer name: ${name}`);
		names.add(name);
	}
	if (layers.filter(({ adminLayer }) => adminLayer !== undefined).length > 1)
		report(at, "Too many admin layers specified in LayeredRuntime, at most one may be specified");
	const decoded = layers.flatMap((layer, i) => decodeLayer(under(at, `layers[${i}]`), layer, node?.cluster ?? "", environment) ?? []);
	const isAsked = decoded.some((layer) => layer.kind === "discovered" && layer.source.kind === "ads");
	if (isAsked && dynamicResources?.adsConfig === undefined) report(at, "an rtds_layer needs dynamic_resources.ads_config, or a source of its own");
	return decoded;
}

function decodeLayer(at: At, layer: LayerMessage, serviceCluster: string, environment: DecodeEnvironment): RuntimeLayer | undefined {
	const { name, staticLayer, adminLayer, diskLayer, rtdsLayer } = layer;
	if (staticLayer !== undefined) {
		const { entries, errors } = decodeRuntimeStruct(staticLayer);
		for (const error of errors) report(under(at, "staticLayer"), error);
		return { name, kind: "static", entries };
	}
	if (adminLayer !== undefined) return { name, kind: "admin" };
	if (diskLayer !== undefined) {
		const { symlinkRoot, subdirectory, appendServiceCluster } = diskLayer;
		if (symlinkRoot === "") report(under(at, "diskLayer.symlinkRoot"), "is not set");
		const folder = `${symlinkRoot}/${subdirectory}${appendServiceCluster ? `/${serviceCluster}` : ""}`;
		return { name, kind: "disk", link: symlinkRoot, folder };
	}
	if (rtdsLayer !== undefined) {
		const source = decodeConfigSource(under(at, "rtdsLayer.rtdsConfig"), rtdsLayer.rtdsConfig, environment);
		return { name, kind: "discovered", resource: rtdsLayer.name, source };
	}
	report(at, "layer_specifier: field is required");
	return undefined;
}

/** A layer as a structure: what is nested has keys with dots. Nothing of a structure with errors is to be used. */
export function decodeRuntimeStruct(struct: Readonly<Record<string, unknown>>): { readonly entries: RuntimeEntries; readonly errors: readonly string[] } {
	const entries = new Map<string, RuntimeEntry>();
	const errors: string[] = [];
	const walk = (key: string, value: unknown, depth: number): void => {
		if (depth > depthMax) return void errors.push(`nested deeper than ${depthMax}`);
		if (isStruct(value) && !isFraction(value)) {
			for (const [name, inner] of Object.entries(value)) walk(`${key}.${name}`, inner, depth + 1);
			return;
		}
		const entry = entryOf(value);
		if (entry === undefined) errors.push(`Invalid runtime entry value for ${key}`);
		else entries.set(key, entry);
	};
	for (const [key, value] of Object.entries(struct)) walk(key, value, 0);
	return errors.length === 0 ? { entries, errors } : { entries: noRuntimeEntries, errors };
}

/** What somebody wrote into a file, or asked for: a value in YAML. Throws what is wrong with it. */
export function readRuntimeText(text: string): RuntimeEntry {
	const { problems, source } = parseYamlSource("", text);
	if (source === undefined) throw new Error(problems[0]?.message ?? "no YAML");
	const value = source.json;
	// A text counts as it is written, with its quotes, if any.
	return { ...entryOf(typeof value === "string" ? (yamlFlags.get(text.trim().toLowerCase()) ?? text) : value), text };
}

/** What is true and false in the YAML that Envoy reads, beside these two words. */
const yamlFlags: ReadonlyMap<string, boolean> = new Map([
	...["y", "yes", "on"].map((word) => [word, true] as const),
	...["n", "no", "off"].map((word) => [word, false] as const),
]);

function entryOf(value: unknown): RuntimeEntry | undefined {
	switch (typeof value) {
		case "number":
			return { text: shortNumber(value), ...numbersOf(value) };
		case "boolean":
			return { text: String(value), flag: value };
		case "string":
			return { text: value, ...numbersOfText(value) };
		default:
			return isStruct(value) ? { text: JSON.stringify(value), ...fractionOf(value) } : undefined;
	}
}

const isStruct = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value);

function isFraction(struct: Readonly<Record<string, unknown>>): boolean {
	return "numerator" in struct || "denominator" in struct || Object.keys(struct).length === 0;
}

/** As in Envoy, what is no whole number is cut to one where an integer is asked for. */
function numbersOf(number: number): Pick<RuntimeEntry, "integer" | "number" | "share"> {
	if (Number.isNaN(number)) return {};
	if (number < 0 || number === Infinity) return { number };
	const integer = Math.floor(number);
	return { number, integer, share: { numerator: integer, denominator: 100 } };
}

function numbersOfText(text: string): Pick<RuntimeEntry, "integer" | "number" | "share"> {
	return text.trim() === "" ? {} : numbersOf(Number(text));
}

const denominators: ReadonlyMap<unknown, Fraction["denominator"]> = new Map([
	["HUNDRED", 100],
	["TEN_THOUSAND", 10_000],
	["MILLION", 1_000_000],
] as const);

/** One with other fields, or another denominator, is none. */
function fractionOf({ numerator, denominator = "HUNDRED", ...others }: Readonly<Record<string, unknown>>): Pick<RuntimeEntry, "share"> {
	const whole = denominators.get(denominator);
	if (whole === undefined || Object.keys(others).length > 0) return {};
	return { share: { numerator: typeof numerator === "number" ? Math.max(0, Math.floor(numerator)) : 0, denominator: whole } };
}

/** Six digits, as C writes a double by `%g`. */
function shortNumber(number: number): string {
	const [digits = "", exponent = "0"] = number.toExponential(5).split("e");
	const power = Number(exponent);
	if (number === 0 || (power >= -4 && power < 6)) return String(Number(number.toPrecision(6)));
	return `${Number(digits)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}
