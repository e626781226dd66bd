import { RE2JS } from "re2js";
import { compileRegex } from "../../../packages/proxy/src/data/match/regex.ts";
import { check, checkSame } from "../invariants.ts";

/** An expression, a line feed, then what it is matched against. Both engines agree, and nothing that a user writes throws. */
export function fuzz(data: Buffer): void {
	const at = data.indexOf(10);
	const pattern = data.toString("utf8", 0, at < 0 ? data.length : at);
	const value = at < 0 ? "" : data.latin1Slice(at + 1);
	const compiled = compileRegex(pattern);
	if (compiled.kind === "error") return check(compiled.message !== "", "an error without words");
	checkSame(compiled.matches(value), RE2JS.compile(pattern).testExact(value), `${JSON.stringify(pattern)} on ${JSON.stringify(value)}`);
	const substitute = compiled.substitution(value);
	check(typeof substitute(value) === "string", "no text");
}
