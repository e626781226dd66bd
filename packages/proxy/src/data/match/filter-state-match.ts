import type { FilterStateMatch } from "../../config/matchers.ts";
import { filterStateObject } from "../log/filter-state.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import type { CompileContext } from "./compile-context.ts";
import { compileStringMatch } from "./string-match.ts";

/** An object that is not there, or is no text, matches nothing. */
export function compileFilterStateMatches(matches: readonly FilterStateMatch[], context: CompileContext): ((info: StreamInfo) => boolean) | undefined {
	if (matches.length === 0) return undefined;
	const tests = matches.map(({ key, match }) => ({ key, test: compileStringMatch(match, context) }));
	return (info) =>
		tests.every(({ key, test }) => {
			const object = filterStateObject(info, key);
			return object !== undefined && object.kind !== "json" && test(object.text);
		});
}
