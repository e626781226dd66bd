import type { ApplyTo, Patch, PatchContext } from "../../model/envoy-filters.ts";
import { compileEnvoyFilter, envoyFiltersFor, matchesProxy } from "../../model/envoy-filters.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { PushSnapshot } from "../../model/push.ts";
import { createMemo } from "../memo.ts";

/** The patches that hold for one proxy, in order; one object for all proxies that they are the same for. */
export interface PatchSet {
	readonly of: (applyTo: ApplyTo, context: PatchContext) => readonly Patch[];
	/** What is neither inbound nor outbound alone: those of either context, each once. */
	readonly ofSidecar: (applyTo: ApplyTo) => readonly Patch[];
}

const sets = createMemo<PatchSet>();

/** Undefined where no EnvoyFilter is for this proxy. */
export function patchSetFor({ policies }: PushSnapshot, node: ProxyNode): PatchSet | undefined {
	if (policies.envoyFilters.byNamespace.size === 0) return undefined;
	const patches = envoyFiltersFor(policies.envoyFilters, node)
		.flatMap((filter) => compileEnvoyFilter(filter).patches)
		.filter((patch) => matchesProxy(patch, node));
	const [first, ...rest] = patches;
	return first && sets.get([first, ...rest], "", () => createPatchSet(patches));
}

function createPatchSet(patches: readonly Patch[]): PatchSet {
	const known = new Map<string, readonly Patch[]>();
	return {
		ofSidecar: (applyTo) => patches.filter((patch) => patch.applyTo === applyTo && (isIn(patch, "SIDECAR_INBOUND") || isIn(patch, "SIDECAR_OUTBOUND"))),
		of: (applyTo, context) => {
			const key = `${applyTo} ${context}`;
			const found = known.get(key) ?? patches.filter((patch) => patch.applyTo === applyTo && isIn(patch, context));
			known.set(key, found);
			return found;
		},
	};
}

function isIn({ match: { context = "ANY" } }: Patch, wanted: PatchContext): boolean {
	return context === "ANY" || context === wanted;
}
