/** RE2 gives up where a program would need more than a few megabytes; a text of this length makes one of about that size. */
const regexLengthMax = 256 * 1024;

/** Why an expression is not even compiled; undefined: it may be. */
export function regexTooLarge(pattern: string): string | undefined {
	return pattern.length <= regexLengthMax ? undefined : `pattern too large: ${pattern.length} characters, at most ${regexLengthMax} are compiled`;
}
