import type { CsrfPolicy } from "../../config/http-filters.ts";
import { isInFraction } from "../../config/runtime-values.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileStringMatch } from "../match/string-match.ts";
import type { FilterInputs } from "./filter-inputs.ts";

const modifyMethods: ReadonlySet<string> = new Set(["POST", "PUT", "DELETE", "PATCH"]);

/** Requests that change something have to come from a page of the same host, or of one that is allowed. */
export function compileCsrf(policy: CsrfPolicy, { context, counter, errors }: FilterInputs): StreamFilter {
	const compile = createCompileContext();
	const allowed = policy.additionalOrigins.map((match) => compileStringMatch(match, compile));
	errors.push(...compile.errors);
	const [missing, invalid, valid] = [counter("csrf.missing_source_origin"), counter("csrf.request_invalid"), counter("csrf.request_valid")] as const;
	const isValid = ({ request }: HttpStream, source: string) => source === hostOf(request.authority) || allowed.some((test) => test(source));
	return {
		onRequestHead(stream) {
			const isEnabled = isInFraction(context.runtime.share(policy.enabled), context.random);
			if (!isEnabled && !isInFraction(context.runtime.share(policy.shadow), context.random)) return "continue";
			if (!modifyMethods.has(stream.request.method)) return "continue";
			const source = sourceOf(stream);
			if (source !== "" && isValid(stream, source)) {
				valid();
				return "continue";
			}
			(source === "" ? missing : invalid)();
			if (!isEnabled) return "continue";
			sendLocalReply(stream, { status: 403, body: "Invalid origin", flags: 0, details: "csrf_origin_mismatch" });
			return "stop";
		},
	};
}

/** Host and port of `origin`, else of `referer`. */
function sourceOf({ request }: HttpStream): string {
	return hostOf(request.get("origin") ?? "") || hostOf(request.get("referer") ?? "");
}

function hostOf(url: string): string {
	if (url === "null") return "";
	const text = url.includes("://") ? url.slice(url.indexOf("://") + 3) : url;
	return text.replace(/[/?#].*$/s, "");
}
