import type { SubstitutionFormatString } from "@weft/xds/generated/envoy/config/core/v3/substitution_format_string.ts";
import type { FilterStateValue } from "@weft/xds/generated/envoy/extensions/filters/common/set_filter_state/v3/value.ts";
import {
	dynamicHostKey,
	dynamicPortKey,
	type FilterStateFactory,
	type FilterStateWrite,
	originalDestinationKey,
	tcpClusterKey,
	upstreamServerNameKey,
} from "../stream-data.ts";
import { checkFormatters } from "./formatters.ts";
import { type At, onlySupports, report, under } from "./issues.ts";

/** Objects by the names of their factories; without a factory it is the key that names one. */
const factories: Readonly<Record<string, FilterStateFactory>> = {
	"envoy.string": "text",
	"envoy.hashable_string": "hashable",
	[tcpClusterKey]: "plain",
	[upstreamServerNameKey]: "plain",
	[originalDestinationKey]: "address",
	[dynamicHostKey]: "text",
	[dynamicPortKey]: "number",
};

/** Keys of objects that Envoy itself acts upon, if they are of their own factories. */
const actedUpon = /^envoy\.(?:network|tcp_proxy|upstream|ratelimit|filters\.listener|stream)\./;

// As in Envoy 1.40, what is `read_only` is replaced all the same.
const fields = ["objectKey", "factoryKey", "formatString", "readOnly", "skipIfEmpty"];

/** `field`: of the list. */
export function decodeFilterState(at: At, field: string, values: readonly FilterStateValue[]): readonly FilterStateWrite[] {
	return values.map((value, i) => decodeValue(under(at, `${field}[${i}]`), value));
}

function decodeValue(at: At, value: FilterStateValue): FilterStateWrite {
	onlySupports(at, "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue", value, fields);
	const key = value.objectKey ?? "";
	const name = value.factoryKey || key;
	const factory = Object.hasOwn(factories, name) ? factories[name] : undefined;
	if (factory === undefined) report(at, actedUpon.test(name) ? `object factory '${name}' is not implemented` : `'${key}' does not have an object factory`);
	else if (actedUpon.test(key) && name !== key) report(under(at, "objectKey"), `object ${key} of another factory is not implemented`);
	return {
		key,
		factory: factory ?? "text",
		...decodeFormat(under(at, "formatString"), value.formatString),
		skipsEmpty: value.skipIfEmpty,
	};
}

function decodeFormat(at: At, format: SubstitutionFormatString | undefined): Pick<FilterStateWrite, "format" | "omitsEmpty"> {
	if (format === undefined) return { format: "", omitsEmpty: false };
	onlySupports(at, "envoy.config.core.v3.SubstitutionFormatString", format, ["textFormat", "textFormatSource", "omitEmptyValues", "contentType", "formatters"]);
	checkFormatters(at, format.formatters);
	const inline = format.textFormat ?? format.textFormatSource?.inlineString;
	if (inline === undefined) report(under(at, "textFormatSource"), "only inline_string is implemented");
	return { format: inline ?? "", omitsEmpty: format.omitEmptyValues };
}
