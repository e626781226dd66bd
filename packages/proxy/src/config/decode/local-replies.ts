import type { LocalReplyConfig as ConfigMessage } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { SubstitutionFormatString } from "@weft/xds/generated/envoy/config/core/v3/substitution_format_string.ts";
import type { LocalReplyConfig, LocalReplyFormat } from "../http-connection-manager.ts";
import { decodeFormat, decodeLogFilter } from "./access-log.ts";
import { type DecodeEnvironment, dataText } from "./environment.ts";
import { decodeMutation } from "./headers.ts";
import { type At, report, under } from "./issues.ts";

export function decodeLocalReplies(at: At, config: ConfigMessage | undefined, environment: DecodeEnvironment): LocalReplyConfig | undefined {
	if (config === undefined) return undefined;
	const mappers = config.mappers.flatMap((mapper, i) => {
		const here = under(at, `mappers[${i}]`);
		const filter = mapper.filter && decodeLogFilter(under(here, "filter"), mapper.filter);
		if (mapper.filter === undefined) report(here, "filter is missing");
		if (filter === undefined) return [];
		return [
			{
				filter,
				status: mapper.statusCode,
				body: mapper.body && dataText(under(here, "body"), mapper.body, environment),
				headers: mapper.headersToAdd.map((option, at) => decodeMutation(under(here, `headersToAdd[${at}]`), option)),
				format: decodeBody(under(here, "bodyFormatOverride"), mapper.bodyFormatOverride, environment),
			},
		];
	});
	return { mappers, format: decodeBody(under(at, "bodyFormat"), config.bodyFormat, environment) };
}

function decodeBody(at: At, format: SubstitutionFormatString | undefined, environment: DecodeEnvironment): LocalReplyFormat | undefined {
	return format && { format: decodeFormat(at, format, environment), contentType: format.contentType };
}
