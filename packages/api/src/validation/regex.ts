/** Istio's own limit (`pkg/config/validation`): Envoy compiles each one. */
const regexLengthMax = 1024;

/** Letters that RE2 gives a meaning to, and every character that is no letter. */
const knownEscapes = /^\\(?:[^A-Za-z]|[afnrtvdDsSwWbBAzpPxk])$/;

/**
 * Why `pattern` is not an RE2 expression, or undefined.
 * Conservative: what RE2 lacks (https://github.com/google/re2/wiki/Syntax) is refused by name, what it has alone is mapped, and the rest must compile.
 * Compiling is safe: only running a pattern can be slow.
 */
export function regexProblem(pattern: string): string | undefined {
	if (pattern.length > regexLengthMax) return `the regex has ${pattern.length} characters, at most ${regexLengthMax} are allowed`;
	const unknown = pattern
		.replace(/\\Q[\s\S]*?(?:\\E|$)/g, "")
		.match(/\\(?:[^A-Za-z]|([A-Za-z]))/g)
		?.find((escape) => !knownEscapes.test(escape));
	if (unknown) return `the escape ${unknown} does not exist in RE2; write it another way`;
	const bare = withoutEscapesAndClasses(pattern);
	if (/\(\?(?:=|!|<=|<!|>)/.test(bare)) return "lookahead, lookbehind and atomic groups do not exist in RE2; write the match without them";
	if (/\\[1-9]/.test(bare) || /\\k</.test(bare) || /\(\?P=/.test(bare)) return "back-references do not exist in RE2; write the match without them";
	if (/(?:[*+?]|\{\d+(?:,\d*)?\})\+/.test(bare)) return "possessive quantifiers do not exist in RE2; write * + or ? alone";
	const wide = [...bare.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].find((hit) => Number(hit[1]) > 1000 || Number(hit[2] ?? 0) > 1000);
	if (wide) return `the repetition ${wide[0]} is too large: RE2 allows at most 1000`;
	return compileProblem(pattern);
}

/** Escaped characters other than references become `a`, classes `[a]`: what is left shows the structure. */
function withoutEscapesAndClasses(pattern: string): string {
	return pattern
		.replace(/\\Q[\s\S]*?(?:\\E|$)/g, "a")
		.replace(/\\[^1-9k]/g, "a")
		.replace(/\[\^?\]?(?:\[:\^?\w+:\]|[^\]])*\]/g, "a");
}

function compileProblem(pattern: string): string | undefined {
	const translated = pattern
		.replace(/\\Q([\s\S]*?)(?:\\E|$)/g, (_, literal: string) => literal.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"))
		.replace(/\(\?P?<(\w+)>/g, "(?<$1>")
		.replace(/\(\?[imsU]*(?:-[imsU]+)?(:|\))/g, (_, end: string) => (end === ":" ? "(?:" : "(?:)"))
		.replace(/\[:\^?\w+:\]/g, "\\w")
		.replace(/\\(?:A|z|pN|p[LMNPSZC])/g, "a")
		.replace(/\\[pP]\{\^?\w+\}/g, "a")
		.replace(/\\x\{[0-9a-fA-F]+\}/g, "a");
	try {
		new RegExp(translated);
		return undefined;
	} catch (error) {
		const reason = error instanceof Error ? error.message.replace(/^Invalid regular expression: \/[\s\S]*\/\w*: /, "") : String(error);
		return `invalid regex: ${reason}; RE2 syntax is https://github.com/google/re2/wiki/Syntax`;
	}
}
