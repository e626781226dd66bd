import type { HeaderValueOption } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { AppendAction, HeaderMutation, HeaderOperations } from "../header-operations.ts";
import { type At, report, under } from "./issues.ts";

interface HeaderFields {
	readonly requestHeadersToAdd: readonly HeaderValueOption[];
	readonly requestHeadersToRemove: readonly string[];
	readonly responseHeadersToAdd: readonly HeaderValueOption[];
	readonly responseHeadersToRemove: readonly string[];
}

/** Shared, so that the many routes without header operations cost nothing. */
export const noHeaderOperations: HeaderOperations = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] };

export function decodeHeaderOperations(at: At, fields: HeaderFields): HeaderOperations {
	const { requestHeadersToAdd: add, requestHeadersToRemove: remove, responseHeadersToAdd, responseHeadersToRemove } = fields;
	if (add.length + remove.length + responseHeadersToAdd.length + responseHeadersToRemove.length === 0) return noHeaderOperations;
	return {
		requestAdd: add.map((option, i) => decodeAddition(under(at, `requestHeadersToAdd[${i}]`), option)),
		requestRemove: remove.map((name, i) => removable(under(at, `requestHeadersToRemove[${i}]`), name)),
		responseAdd: responseHeadersToAdd.map((option, i) => decodeAddition(under(at, `responseHeadersToAdd[${i}]`), option)),
		responseRemove: responseHeadersToRemove.map((name, i) => removable(under(at, `responseHeadersToRemove[${i}]`), name)),
	};
}

// What they are is for rewrites to change, as in Envoy.
function decodeAddition(at: At, option: HeaderValueOption): HeaderMutation {
	const mutation = decodeMutation(at, option);
	if (mutation.name.startsWith(":") || mutation.name === "host") report(at, ":-prefixed or host headers may not be modified");
	return mutation;
}

// Envoy refuses these too: the message would lose what it needs to be forwarded.
function removable(at: At, name: string): string {
	const lower = name.toLowerCase();
	if (lower.startsWith(":") || lower === "host") report(at, ":-prefixed or host headers may not be removed");
	return lower;
}

const actions: readonly AppendAction[] = ["append", "addIfAbsent", "overwrite", "overwriteIfExists"];

export function decodeMutation(at: At, option: HeaderValueOption): HeaderMutation {
	const name = option.header?.key.toLowerCase() ?? "";
	const raw = option.header?.rawValue;
	const value = raw !== undefined && raw.length > 0 ? Buffer.from(raw).toString("latin1") : (option.header?.value ?? "");
	if (option.append !== undefined && option.appendAction !== 0) report(at, "append and append_action cannot both be set");
	const action = option.append === false ? "overwrite" : (actions[option.appendAction] ?? "append");
	return { name, value, action, keepEmpty: option.keepEmptyValue };
}
