import type { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { openAny } from "./any.ts";
import { type At, report, under } from "./issues.ts";

const formatters: readonly string[] = ["cel.v3.Cel", "metadata.v3.Metadata", "req_without_query.v3.ReqWithoutQuery"];

/** Their operators are there without them, too. */
export function checkFormatters(at: At, extensions: readonly TypedExtensionConfig[]): void {
	extensions.forEach(({ name, typedConfig }, i) => {
		const here = under(at, `formatters[${i}]`);
		const opened = openAny(here, typedConfig, `formatter ${name}`);
		if (opened !== undefined && !formatters.includes(opened.typeName.replace("envoy.extensions.formatter.", "")))
			report(here, `formatter ${name} is not implemented`);
	});
}
