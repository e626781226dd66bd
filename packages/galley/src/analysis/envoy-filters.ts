import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import type { MeshView } from "./mesh-view.ts";

type Patch = NonNullable<ConfigObject<"EnvoyFilter">["spec"]["configPatches"]>[number];

const tables: ReadonlySet<Patch["applyTo"]> = new Set(["ROUTE_CONFIGURATION", "HTTP_ROUTE"]);
const filters: ReadonlySet<Patch["applyTo"]> = new Set(["NETWORK_FILTER", "HTTP_FILTER"]);

/** Operations that do not do what one might expect of them. https://istio.io/latest/docs/reference/config/analysis/ */
export function analyzeEnvoyFilters(view: MeshView): readonly Diagnostic[] {
	return view.snapshot.all("EnvoyFilter").flatMap((object) =>
		(object.spec.configPatches ?? []).flatMap((patch, i) => {
			const found = remarkOn(patch, object.spec.priority ?? 0);
			return found ? [diagnosticAt(object, "warning", found.code, ["spec", "configPatches", i, "patch", "operation"], found.message)] : [];
		}),
	);
}

function remarkOn({ applyTo, match, patch }: Patch, priority: number): { readonly code: string; readonly message: string } | undefined {
	const operation = patch?.operation;
	if ((operation === "INSERT_BEFORE" || operation === "INSERT_AFTER") && priority === 0) {
		const advice = "Using the INSERT_FIRST or ADD option or setting the priority may help in ensuring the EnvoyFilter is applied correctly.";
		if (match?.proxy?.proxyVersion) {
			const message = `This EnvoyFilter does not have a priority and has a relative patch operation and proxyVersion set which can cause the EnvoyFilter not to be applied during an upgrade. ${advice}`;
			return { code: diagnosticCodes.envoyFilterRelativeWithVersion, message };
		}
		const message = `This EnvoyFilter does not have a priority and has a relative patch operation set which can cause the EnvoyFilter not to be applied. ${advice}`;
		return { code: diagnosticCodes.envoyFilterRelative, message };
	}
	if (operation === "REPLACE" && !filters.has(applyTo)) {
		return { code: diagnosticCodes.envoyFilterReplace, message: "The REPLACE operation is only valid for HTTP_FILTER and NETWORK_FILTER." };
	}
	if (operation === "ADD" && tables.has(applyTo)) {
		return { code: diagnosticCodes.envoyFilterAdd, message: "The ADD operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE." };
	}
	if (operation !== "REMOVE" || !tables.has(applyTo)) return undefined;
	return {
		code: diagnosticCodes.envoyFilterRemove,
		message: "The REMOVE operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE.",
	};
}
