import { type AnyConfig, type Diagnostic, diagnosticCodes, isKindOf } from "@weft/api";
import { diagnosticAt, type ObjectCheck } from "@weft/galley";
import { compileEnvoyFilter } from "./envoy-filters.ts";

/** What Pilot has to say about an object when it is admitted: parts that it will leave out. */
export const objectChecks: readonly ObjectCheck[] = [checkEnvoyFilter, checkProxyConfig];

function checkEnvoyFilter(object: AnyConfig): readonly Diagnostic[] {
	if (!isKindOf(object, "EnvoyFilter")) return [];
	return compileEnvoyFilter(object).problems.map(({ index, path, message, isFatal }) => {
		const place = path === "" ? "" : `${path}: `;
		const consequence = isFatal ? "; this patch is left out, the others hold" : "";
		const at = ["spec", "configPatches", index, "patch", "value"];
		return diagnosticAt(object, "warning", diagnosticCodes.patch, at, `${place}${message}${consequence}`);
	});
}

function checkProxyConfig(object: AnyConfig): readonly Diagnostic[] {
	if (!isKindOf(object, "ProxyConfig")) return [];
	const message = "a ProxyConfig is for whoever starts the proxies: running ones, and those of a local mesh, keep what they were started with";
	return [diagnosticAt(object, "info", diagnosticCodes.notImplemented, ["spec"], message)];
}
