import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import type { PatchContext } from "../../model/envoy-filters.ts";
import type { EncodedResource } from "../context.ts";
import { encodeResource } from "../encode.ts";
import { createMemo } from "../memo.ts";
import type { PatchSet } from "./patch-set.ts";

const built = createMemo<readonly EncodedResource[]>();

/** What EXTENSION_CONFIG patches add: configurations that filters added by other patches ask for by name. Of one name the first counts. */
export function extensionPatches(set: PatchSet, isGateway: boolean): readonly EncodedResource[] {
	const contexts: readonly PatchContext[] = isGateway ? ["GATEWAY"] : ["SIDECAR_OUTBOUND", "SIDECAR_INBOUND"];
	return built.get([set], String(isGateway), () => {
		const values = contexts.flatMap((context) => set.of("EXTENSION_CONFIG", context)).filter(({ operation }) => operation === "ADD");
		const byName = new Map(values.toReversed().map(({ value }) => [(value as TypedExtensionConfig).name, value as TypedExtensionConfig]));
		return [...byName].map(([name, value]) => encodeResource("ecds", name, TypedExtensionConfig, value));
	});
}
