import type { LocalReplyConfig, LocalReplyFormat } from "../../config/http-connection-manager.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import type { FormatterEnvironment } from "../headers/formatter.ts";
import { compileHeaderMutations } from "../headers/header-mutations.ts";
import { compileLine, compileLogFilter, type LogFilterInputs } from "../log/access-log.ts";
import type { StreamInfo } from "../log/stream-info.ts";

/** What the user's configuration makes of an answer of the proxy's own. */
export interface RewrittenReply {
	readonly status: number;
	readonly body: string | Uint8Array;
	/** "": as without the configuration. */
	readonly contentType: string;
}

/** `info` says the status that there would be; `response` gets the headers. */
export type RewriteReply = (info: StreamInfo, response: ResponseHead, body: string | Uint8Array, isGrpc: boolean) => RewrittenReply;

interface Body {
	readonly render: (info: StreamInfo, isGrpc: boolean) => string;
	readonly contentType: string;
}

/** Envoy's `local_reply_config`: the first mapper whose filter matches changes the answer, then its format or the common one makes the body. */
export function compileLocalReplies(config: LocalReplyConfig, environment: FormatterEnvironment, errors: string[], inputs?: LogFilterInputs): RewriteReply {
	const common = compileBody(config.format, environment, errors);
	const mappers = config.mappers.map(({ filter, status, body, headers, format }) => ({
		matches: compileLogFilter(filter, errors, inputs),
		status,
		body,
		mutate: compileHeaderMutations([{ add: headers, remove: [] }], environment, errors),
		format: compileBody(format, environment, errors),
	}));
	return (info, response, original, isGrpc) => {
		const mapper = mappers.find(({ matches }) => matches(info));
		mapper?.mutate?.(response, info);
		const status = (info.responseCode = mapper?.status ?? info.responseCode);
		const body = mapper?.body ?? original;
		info.localReplyBody = textOf(body);
		const format = mapper?.format ?? common;
		return {
			status,
			body: format === undefined ? body : format.render(info, isGrpc),
			contentType: format?.contentType ?? "",
		};
	};
}

export function textOf(body: string | Uint8Array): string {
	return typeof body === "string" ? body : Buffer.from(body).toString("latin1");
}

function compileBody(config: LocalReplyFormat | undefined, environment: FormatterEnvironment, errors: string[]): Body | undefined {
	if (config === undefined) return undefined;
	const { format, contentType } = config;
	const line = compileLine(format, environment, errors);
	if (format.kind === "text") return { render: line, contentType: contentType || "text/plain" };
	// The line end that JSON gets is none of a gRPC message.
	return { render: (info, isGrpc) => (isGrpc ? line(info).trimEnd() : line(info)), contentType: contentType || "application/json" };
}
