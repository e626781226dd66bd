import type { RequestMatch } from "../../config/jwt-authentication.ts";
import { isInFraction, type RuntimeValues } from "../../config/runtime-values.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import type { CompileContext } from "./compile-context.ts";
import { compileFilterStateMatches } from "./filter-state-match.ts";
import { compileCookieMatches, compileHeaderMatches, compileQueryMatches } from "./header-match.ts";
import { compileMetadataMatches } from "./metadata-match.ts";
import { compilePathMatch, withoutQuery } from "./path-match.ts";
import { isGrpc } from "./route-table.ts";

export type RequestMatcher = (head: RequestView, info: StreamInfo, random: () => number) => boolean;

/** A filter's own rule, which has the match of a route. */
export function compileRequestMatch(match: RequestMatch, context: CompileContext, runtime: RuntimeValues): RequestMatcher {
	const path = compilePathMatch(match.path, context);
	const headers = compileHeaderMatches(match.headers, context);
	const query = compileQueryMatches(match.query, context);
	const metadata = compileMetadataMatches(match.dynamicMetadata, context);
	const filterState = compileFilterStateMatches(match.filterState ?? [], context);
	const cookies = compileCookieMatches(match.cookies ?? [], context);
	return (head, info, random) => {
		if (match.runtimeFraction !== undefined && !isInFraction(runtime.share(match.runtimeFraction), random)) return false;
		if (match.grpcOnly && !isGrpc(head)) return false;
		if (headers !== undefined && !headers(head)) return false;
		if (query !== undefined && !query(head)) return false;
		if (metadata !== undefined && !metadata(info.dynamicMetadata)) return false;
		if (cookies !== undefined && !cookies(head)) return false;
		if (filterState !== undefined && !filterState(info)) return false;
		return path(head, head.path, withoutQuery(head.path));
	};
}
