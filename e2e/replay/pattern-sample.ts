/**
 * A short text that a regular expression takes: of alternatives the first, of repetitions the fewest. Knows what istiod's own
 * expressions use: literals, escapes, classes, groups, `.`, `*`, `+`, `?` and `|`.
 */
export function sampleOf(pattern: string): string {
	let at = 0;
	const peek = () => pattern[at];

	function alternatives(): string {
		const first = sequence();
		while (peek() === "|") {
			at++;
			sequence();
		}
		return first;
	}

	function sequence(): string {
		let text = "";
		while (at < pattern.length && peek() !== "|" && peek() !== ")") {
			const one = atom();
			const quantifier = peek();
			if (quantifier === "*" || quantifier === "?" || quantifier === "+") at++;
			text += quantifier === "*" || quantifier === "?" ? "" : one;
		}
		return text;
	}

	function atom(): string {
		const char = pattern[at++] as string;
		if (char === "\\") return escaped(pattern[at++] as string);
		if (char === "[") return oneOf();
		if (char === "." || char === "^" || char === "$") return char === "." ? "x" : "";
		if (char !== "(") return char;
		if (pattern.startsWith("?:", at)) at += 2;
		const inner = alternatives();
		at++;
		return inner;
	}

	function oneOf(): string {
		const end = pattern.indexOf("]", at + 1);
		const inside = pattern.slice(at, end);
		at = end + 1;
		return inside.startsWith("^") ? "x" : (inside[0] as string);
	}

	return alternatives();
}

function escaped(char: string): string {
	return char === "d" ? "0" : char === "w" ? "x" : char === "s" ? " " : char;
}
