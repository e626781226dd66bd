import { typeUrls } from "@weft/xds";
import type { RejectedResource } from "@weft/xds/client";
import { Runtime } from "@weft/xds/generated/envoy/service/runtime/v3/rtds.ts";
import { decodeRuntimeStruct } from "../../config/decode/runtime.ts";
import type { ApplyFrom } from "../xds-updates.ts";
import type { RuntimeLoader } from "./runtime-loader.ts";

/** Takes runtime layers (RTDS) out of what comes, and leaves the rest to `next`. */
export function applyRuntime(next: ApplyFrom, runtime: RuntimeLoader): ApplyFrom {
	return async (update, source) => {
		if (update.typeUrl !== typeUrls.rtds) return next(update, source);
		const rejected: RejectedResource[] = [];
		for (const { name, resource } of update.resources) {
			const { entries, errors } = decode(resource.value);
			rejected.push(...errors.map((message) => ({ name, message })));
			if (errors.length === 0) runtime.discover(name, source, entries);
			else runtime.refuse(name, source);
		}
		for (const name of update.removed) runtime.discover(name, source, undefined);
		return rejected;
	};
}

function decode(bytes: Uint8Array): ReturnType<typeof decodeRuntimeStruct> {
	try {
		return decodeRuntimeStruct(Runtime.decode(bytes).layer ?? {});
	} catch (error) {
		return { entries: new Map(), errors: [`undecodable: ${error instanceof Error ? error.message : String(error)}`] };
	}
}
