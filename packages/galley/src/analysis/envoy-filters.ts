import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import type { MeshView } from "./mesh-view.ts";

type Patch = NonNullable<ConfigObject<"EnvoyFilter">["spec"]["configPatches"]>[number];

const tables: ReadonlySet<Patch["applyTo"]> = new Set(["ROUTE_CONFIGURATION", "HTTP_ROUTE"]);
const replaceable: ReadonlySet<Patch["applyTo"]> = new Set(["NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"]);

/** Operations that do not do what one might expect of them. https://istio.io/latest/docs/reference/config/analysis/ */
export function analyzeEnvoyFilters(view: MeshView): readonly Diagnostic[] {
	// Names of what is patched for some versions of the proxy only, in the order in which patches are read.
	const versioned = new Set<string>();
	return view.snapshot.all("EnvoyFilter").flatMap((object) =>
		(object.spec.configPatches ?? []).flatMap((patch, i) => {
			const name = nameOf(patch);
			const found = remarkOn(patch, object.spec.priority ?? 0, versioned.has(name));
			if (patch.match?.proxy?.proxyVersion) versioned.add(name);
			return found ? [diagnosticAt(object, "warning", found.code, ["spec", "configPatches", i, "patch", "operation"], found.message)] : [];
		}),
	);
}

/** What is added or patched: by its value's name, else by the filter that is matched. */
function nameOf({ match, patch }: Patch): string {
	const value: unknown = patch?.value;
	const name = typeof value === "object" && value !== null && "name" in value ? value.name : undefined;
	return typeof name === "string" ? name : (match?.listener?.filterChain?.filter?.name ?? "");
}

interface Remark {
	readonly code: string;
	readonly message: string;
}

function remarkOn({ applyTo, patch }: Patch, priority: number, isVersioned: boolean): Remark | undefined {
	switch (patch?.operation) {
		case "ADD":
			return tables.has(applyTo)
				? { code: diagnosticCodes.envoyFilterAdd, message: "The ADD operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE." }
				: undefined;
		case "REMOVE":
			return tables.has(applyTo)
				? {
						code: diagnosticCodes.envoyFilterRemove,
						message: "The REMOVE operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE.",
					}
				: relative(priority, isVersioned);
		case "REPLACE":
			return replaceable.has(applyTo)
				? relative(priority, isVersioned)
				: { code: diagnosticCodes.envoyFilterReplace, message: "The REPLACE operation is only valid for HTTP_FILTER and NETWORK_FILTER." };
		case "INSERT_BEFORE":
		case "INSERT_AFTER":
			return relative(priority, isVersioned);
		default:
			return undefined;
	}
}

/** What depends on what other filters do, in an order that nobody has said. */
function relative(priority: number, isVersioned: boolean): Remark | undefined {
	if (priority !== 0) return undefined;
	const advice = "Using the INSERT_FIRST or ADD option or setting the priority may help in ensuring the EnvoyFilter is applied correctly.";
	if (isVersioned) {
		const message = `This EnvoyFilter does not have a priority and has a relative patch operation (INSERT_BEFORE/AFTER, REPLACE, MERGE, DELETE) and proxyVersion set which can cause the EnvoyFilter not to be applied during an upgrade. ${advice}`;
		return { code: diagnosticCodes.envoyFilterRelativeWithVersion, message };
	}
	const message = `This EnvoyFilter does not have a priority and has a relative patch operation set which can cause the EnvoyFilter not to be applied. ${advice}`;
	return { code: diagnosticCodes.envoyFilterRelative, message };
}
