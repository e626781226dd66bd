import { isJsonObject, type JsonObject } from "../json.ts";
import { canonicalQuantity } from "../pod/quantity.ts";
import { annotationsOf } from "../pod/pod.ts";
import { InjectionError, type TemplateInput } from "./input.ts";

const annotations = [
	["sidecar.istio.io/proxyCPU", "requests", "cpu"],
	["sidecar.istio.io/proxyMemory", "requests", "memory"],
	["sidecar.istio.io/proxyCPULimit", "limits", "cpu"],
	["sidecar.istio.io/proxyMemoryLimit", "limits", "memory"],
] as const;

/** Of proxy and init container: what the pod's annotations say; only if none of them is there, what the values say. */
export function proxyResources(input: TemplateInput): JsonObject {
	const own = annotationsOf(input.pod);
	const said = annotations.filter(([name]) => Object.hasOwn(own, name));
	if (said.length === 0) return canonicalResources(input.settings.values.proxy.resources, "global.proxy.resources");
	const resources: Record<string, Record<string, string>> = {};
	for (const [name, part, resource] of said) {
		resources[part] = { ...resources[part], [resource]: quantity(own[name] ?? "", `annotation '${name}'`) };
	}
	return resources;
}

function canonicalResources(resources: JsonObject, where: string): JsonObject {
	const canonical: Record<string, JsonObject[string]> = {};
	for (const [part, amounts] of Object.entries(resources)) {
		canonical[part] = isJsonObject(amounts)
			? Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, quantity(String(amount), `${where}.${part}.${name}`)]))
			: amounts;
	}
	return canonical;
}

function quantity(text: string, where: string): string {
	const canonical = canonicalQuantity(text);
	if (canonical !== undefined) return canonical;
	throw new InjectionError(`invalid value '${text}' for ${where}: expected a quantity like 100m or 128Mi`);
}
