import type {
	Config as HeaderToMetadataMessage,
	Config_KeyValuePair as KeyValuePair,
	Config_Rule as RuleMessage,
} from "@weft/xds/generated/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata.ts";
import type { Config as SetMetadataMessage } from "@weft/xds/generated/envoy/extensions/filters/http/set_metadata/v3/set_metadata.ts";
import type { HeaderToMetadata, HeaderToMetadataRule, MetadataEntry, MetadataWrite } from "../../stream-data.ts";
import { type At, report, under } from "../issues.ts";
import { decodeRewrite } from "../matchers.ts";

/** The field of one namespace, which is deprecated, comes first and may always overwrite. */
export function decodeSetMetadata(at: At, { metadata, metadataNamespace, value }: SetMetadataMessage): readonly MetadataEntry[] {
	const first = value === undefined || metadataNamespace === "" ? [] : [{ namespace: metadataNamespace, values: value, allowsOverwrite: true }];
	const entries = metadata.flatMap(({ metadataNamespace: namespace, value: values, typedValue, allowOverwrite }, i): readonly MetadataEntry[] => {
		if (typedValue !== undefined) report(under(at, `metadata[${i}].typedValue`), "typed_value is not implemented");
		return values === undefined ? [] : [{ namespace, values, allowsOverwrite: allowOverwrite }];
	});
	return [...first, ...entries];
}

const namespaceDefault = "envoy.filters.http.header_to_metadata";
const types = ["string", "number", "value"] as const;

export function decodeHeaderToMetadata(at: At, { requestRules, responseRules, statPrefix }: HeaderToMetadataMessage): HeaderToMetadata {
	return {
		request: requestRules.map((rule, i) => decodeRule(under(at, `requestRules[${i}]`), rule)),
		response: responseRules.map((rule, i) => decodeRule(under(at, `responseRules[${i}]`), rule)),
		statPrefix,
	};
}

/** A route that says nothing would turn the filter off, which it can say plainly. */
export function decodeHeaderToMetadataOverride(at: At, message: HeaderToMetadataMessage): HeaderToMetadata {
	if (message.requestRules.length + message.responseRules.length === 0)
		report(at, "header_to_metadata_filter: Per filter configs must at least specify either request or response rules");
	return decodeHeaderToMetadata(at, message);
}

function decodeRule(at: At, { header, cookie, remove, onHeaderPresent, onHeaderMissing }: RuleMessage): HeaderToMetadataRule {
	if (header !== "" && cookie !== "") report(at, "Cannot specify both header and cookie in the same rule");
	if (header === "" && cookie === "") report(at, "One of Cookie or Header option needs to be specified");
	if (onHeaderPresent === undefined && onHeaderMissing === undefined)
		report(
			at,
			`header to metadata filter: rule for ${cookie === "" ? `header '${header}'` : `cookie '${cookie}'`} has neither \`on_header_present\` nor \`on_header_missing\` set`,
		);
	if (onHeaderPresent !== undefined && onHeaderPresent.value !== "" && onHeaderPresent.regexValueRewrite !== undefined)
		report(at, "Cannot specify both value and regex_value_rewrite");
	if (cookie !== "" && remove) report(at, "Cannot specify remove for cookie");
	if (onHeaderMissing?.value === "") report(at, "Cannot specify on_header_missing rule with an empty value");
	const name = header.toLowerCase();
	// Envoy would have nothing left to route by.
	if (remove && (name.startsWith(":") || name === "host")) report(under(at, "remove"), `remove of ${name} is not implemented`);
	return {
		source: cookie === "" ? { kind: "header", name, isRemoved: remove } : { kind: "cookie", name: cookie },
		onPresent: onHeaderPresent && decodeWrite(under(at, "onHeaderPresent"), onHeaderPresent),
		onMissing: onHeaderMissing && decodeWrite(under(at, "onHeaderMissing"), onHeaderMissing),
	};
}

function decodeWrite(at: At, { metadataNamespace, key, value, regexValueRewrite, type, encode }: KeyValuePair): MetadataWrite {
	return {
		namespace: metadataNamespace || namespaceDefault,
		key,
		value,
		rewrite: regexValueRewrite && decodeRewrite(under(at, "regexValueRewrite"), regexValueRewrite),
		type: types[type] ?? "string",
		isBase64: encode === 1,
	};
}
