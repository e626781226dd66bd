import type { RequestMatch } from "../../config/jwt-authentication.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { CompileContext } from "./compile-context.ts";
import { compileHeaderMatches, compileQueryMatches } from "./header-match.ts";
import { compileMetadataMatches, type DynamicMetadata } from "./metadata-match.ts";
import { compilePathMatch, withoutQuery } from "./path-match.ts";
import { isGrpc, isInFraction } from "./route-table.ts";

export type RequestMatcher = (head: RequestView, metadata: DynamicMetadata | undefined, random: () => number) => boolean;

/** A filter's own rule, which has the match of a route. */
export function compileRequestMatch(match: RequestMatch, context: CompileContext): RequestMatcher {
	const path = compilePathMatch(match.path, context);
	const headers = compileHeaderMatches(match.headers, context);
	const query = compileQueryMatches(match.query, context);
	const metadata = compileMetadataMatches(match.dynamicMetadata, context);
	return (head, written, random) => {
		if (match.runtimeFraction !== undefined && !isInFraction(match.runtimeFraction, random)) return false;
		if (match.grpcOnly && !isGrpc(head)) return false;
		if (headers !== undefined && !headers(head)) return false;
		if (query !== undefined && !query(head)) return false;
		if (metadata !== undefined && !metadata(written)) return false;
		return path(head, head.path, withoutQuery(head.path));
	};
}
