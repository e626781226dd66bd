import { type Diagnostic, diagnosticCodes, type MeshConfig, type ResolvedMeshConfig, resolveMeshConfig } from "@weft/api";
import { parseDocument } from "yaml";
import { isJsonObject, isStringMap, type JsonObject, type StringMap } from "../json.ts";
import { decodeSelectors, type LabelSelector } from "./selectors.ts";
import { decodeValues, type InjectorValues } from "./values.ts";

/** Everything that decides how pods are injected; from the ConfigMap istio-sidecar-injector and the MeshConfig. */
export interface InjectorSettings {
	/** Which control plane injects; `default` or a revision's name. */
	readonly revision: string;
	/** Other names of this revision that namespaces and pods may give. */
	readonly revisionTags: readonly string[];
	readonly values: InjectorValues;
	readonly mesh: ResolvedMeshConfig;
	/** Whether pods that say nothing are injected. */
	readonly policy: "enabled" | "disabled";
	readonly neverInjectSelector: readonly LabelSelector[];
	readonly alwaysInjectSelector: readonly LabelSelector[];
	readonly injectedAnnotations: StringMap;
	readonly defaultTemplates: readonly string[];
	readonly aliases: Readonly<Record<string, readonly string[]>>;
}

/** Is this a name of the revision: its own, or a tag? */
export function isRevision({ revision, revisionTags }: InjectorSettings, name: string): boolean {
	return name === revision || revisionTags.includes(name);
}

export interface SettingsSource {
	/** Key `values` of the ConfigMap: JSON (or YAML). Empty: the charts' defaults. */
	readonly valuesJson: string;
	/** Key `config` of the ConfigMap: YAML. Empty: the charts' defaults. */
	readonly configYaml: string;
	readonly meshConfig: MeshConfig;
	/** Of this control plane; empty or `default`: the default one. */
	readonly revision: string;
}

export interface DecodedSettings {
	/** Usable even with errors: what is wrong has its default. A caller that has earlier settings keeps those instead. */
	readonly value: InjectorSettings;
	readonly diagnostics: readonly Diagnostic[];
}

const textBytesMax = 4 * 1024 * 1024;
/** Templates that this injector builds itself; their text in the ConfigMap is not read. */
const builtInTemplates = new Set(["sidecar", "gateway", "grpc-simple", "grpc-agent", "waypoint"]);

/** Reads settings; every problem is a diagnostic. Never throws. */
export function decodeInjectorSettings({ valuesJson, configYaml, meshConfig, revision }: SettingsSource): DecodedSettings {
	const diagnostics: Diagnostic[] = [];
	const values = decodeValues(parseObject(valuesJson, "values", diagnostics), diagnostics);
	const config = parseObject(configYaml, "config", diagnostics);
	checkTemplates(config, diagnostics);
	const { webhook } = values;
	const value: InjectorSettings = {
		revision: revision || "default",
		revisionTags: values.revisionTags,
		values,
		mesh: resolveMeshConfig(meshConfig),
		policy: decodePolicy(config["policy"] ?? values.proxy.autoInject, diagnostics),
		neverInjectSelector: decodeSelectors(config["neverInjectSelector"] ?? webhook.neverInjectSelector, "neverInjectSelector", diagnostics),
		alwaysInjectSelector: decodeSelectors(config["alwaysInjectSelector"] ?? webhook.alwaysInjectSelector, "alwaysInjectSelector", diagnostics),
		injectedAnnotations: decodeAnnotations(config["injectedAnnotations"] ?? webhook.injectedAnnotations, diagnostics),
		defaultTemplates: decodeNames(config["defaultTemplates"], webhook.defaultTemplates, diagnostics),
		aliases: decodeAliases(config["aliases"], diagnostics),
	};
	return { value, diagnostics };
}

function parseObject(text: string, what: "values" | "config", diagnostics: Diagnostic[]): JsonObject {
	const report = (message: string): JsonObject => {
		diagnostics.push({ severity: "error", code: diagnosticCodes.syntax, kind: what, path: "", message });
		return {};
	};
	if (text.length > textBytesMax) return report(`the text has ${text.length} characters, at most ${textBytesMax} are read`);
	if (text.trim() === "") return {};
	const document = parseDocument(text, { prettyErrors: true, logLevel: "silent", merge: true });
	const [error] = document.errors;
	if (error) return report(error.message);
	try {
		const value: unknown = document.toJS({ maxAliasCount: 100 });
		return isJsonObject(value) ? value : report("expected an object");
	} catch (thrown) {
		// Aliases that multiply.
		return report(thrown instanceof Error ? thrown.message : String(thrown));
	}
}

function decodePolicy(policy: unknown, diagnostics: Diagnostic[]): "enabled" | "disabled" {
	if (policy === "enabled" || policy === "disabled") return policy;
	diagnostics.push({
		severity: "error",
		code: diagnosticCodes.schema,
		path: "policy",
		message: `"${String(policy)}" is neither enabled nor disabled; no pod is injected`,
	});
	return "disabled";
}

function decodeAnnotations(value: unknown, diagnostics: Diagnostic[]): StringMap {
	if (value === undefined || value === null) return {};
	if (isStringMap(value)) return value;
	diagnostics.push({ severity: "error", code: diagnosticCodes.schema, kind: "config", path: "injectedAnnotations", message: "expected text values" });
	return {};
}

function decodeNames(value: unknown, fallback: readonly string[], diagnostics: Diagnostic[]): readonly string[] {
	if (Array.isArray(value) && value.every((name) => typeof name === "string")) return value.length > 0 ? value : ["sidecar"];
	if (value !== undefined && value !== null) {
		diagnostics.push({ severity: "error", code: diagnosticCodes.schema, kind: "config", path: "defaultTemplates", message: "expected a list of names" });
	}
	return fallback.length > 0 ? fallback : ["sidecar"];
}

function decodeAliases(value: unknown, diagnostics: Diagnostic[]): Readonly<Record<string, readonly string[]>> {
	if (value === undefined || value === null) return {};
	const isNames = (names: unknown): boolean => Array.isArray(names) && names.every((name) => typeof name === "string");
	if (isJsonObject(value) && Object.values(value).every(isNames)) return value as unknown as Readonly<Record<string, readonly string[]>>;
	diagnostics.push({ severity: "error", code: diagnosticCodes.schema, kind: "config", path: "aliases", message: "expected lists of template names" });
	return {};
}

function checkTemplates(config: JsonObject, diagnostics: Diagnostic[]): void {
	const templates = isJsonObject(config["templates"]) ? config["templates"] : {};
	for (const name of Object.keys(templates)) {
		const isKnown = builtInTemplates.has(name);
		diagnostics.push({
			severity: isKnown ? "warning" : "error",
			code: diagnosticCodes.notImplemented,
			kind: "config",
			path: `templates.${name}`,
			message: isKnown
				? "the template's text is not read: Weft builds it from the values"
				: "templates of your own are not implemented by this version of Weft; change pods with annotations or an istio-proxy container of their own",
		});
	}
}
