import { mergeMessages } from "@weft/xds";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import type { Resources } from "../context.ts";
import { encodeResource } from "../encode.ts";
import { createMemo, none } from "../memo.ts";
import type { PatchSet } from "./patch-set.ts";

const built = createMemo<Resources>();

/**
 * What BOOTSTRAP patches lay over the bootstrap that a proxy has by itself: one resource without a name, also where nothing is patched,
 * since who asks waits for it. Istiod 1.30 ignores them and gives no answer; earlier ones rendered the whole bootstrap, which
 * here only the proxy knows. Merging is associative, so the outcome is the same.
 */
export function bootstrapPatches(set: PatchSet | undefined, isGateway: boolean): Resources {
	return built.get([set ?? none], String(isGateway), () => {
		const patches = isGateway ? set?.of("BOOTSTRAP", "GATEWAY") : set?.ofSidecar("BOOTSTRAP");
		const merged = (patches ?? []).reduce(
			(bootstrap, { value }) => mergeMessages("envoy.config.bootstrap.v3.Bootstrap", bootstrap, value as Bootstrap),
			Bootstrap.fromPartial({}),
		);
		return new Map([["", encodeResource("bootstrap", "", Bootstrap, merged)]]);
	});
}
