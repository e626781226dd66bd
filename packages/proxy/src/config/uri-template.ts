/** Characters of a path segment (RFC 3986 pchar) that a template may have as they are; paths may have `*`, too. */
const segmentChars = "a-zA-Z0-9\\-._~%!$&'()+,;:@=";
const isLiteral = new RegExp(`^[${segmentChars}]*$`);
const variableName = /^[a-zA-Z][a-zA-Z0-9_]{0,15}$/;
const variablesMax = 5;

export type UriTemplate =
	| {
			readonly kind: "template";
			/** RE2 syntax; the whole path must match, without its query. A group for each variable. */
			readonly regex: string;
			readonly variables: readonly string[];
	  }
	| { readonly kind: "error"; readonly message: string };

/**
 * A path template of Envoy's `uri_template` matcher: `*` is one segment or a part of one, `**` any number of them and
 * comes after all others, `{name}`, `{name=*}` and `{name=pattern}` name what they match.
 */
export function parseUriTemplate(template: string): UriTemplate {
	const fail = (message: string): UriTemplate => ({ kind: "error", message });
	if (!template.startsWith("/")) return fail("it must start with /");
	const names = new Set<string>();
	let regex = "";
	let hasTextGlob = false;
	for (let at = 0; at < template.length; ) {
		const rest = template.slice(at);
		const token = /^(?:\*\*|\*|\{[^{}]*\}|[^*{}]+)/.exec(rest)?.[0];
		if (token === undefined) return fail(`unexpected ${JSON.stringify(rest[0])}`);
		at += token.length;
		if (token.startsWith("{")) {
			const [name = "", pattern = "*"] = splitOnce(token.slice(1, -1));
			if (!variableName.test(name)) return fail(`invalid variable name ${JSON.stringify(name)}`);
			if (names.has(name)) return fail(`repeated variable name ${JSON.stringify(name)}`);
			names.add(name);
			if (names.size > variablesMax) return fail(`more than ${variablesMax} variables`);
			const inner = compilePattern(pattern, hasTextGlob);
			if (typeof inner === "string") return fail(inner);
			regex += `(${inner.regex})`;
			hasTextGlob = inner.hasTextGlob;
			continue;
		}
		const compiled = compilePattern(token, hasTextGlob);
		if (typeof compiled === "string") return fail(compiled);
		regex += compiled.regex;
		hasTextGlob = compiled.hasTextGlob;
	}
	return { kind: "template", regex, variables: [...names] };
}

/**
 * What `uri_template` rewrites a path to: literals and the variables of the template that it matched.
 * `message` undefined: `substitution` is one for the template's regex, with its groups as `\\1`.
 */
export function parseUriRewrite(rewrite: string, variables: readonly string[]): { readonly substitution: string; readonly message: string | undefined } {
	const fail = (message: string) => ({ substitution: "", message });
	if (!rewrite.startsWith("/")) return fail("it must start with /");
	if (rewrite.includes("//")) return fail("empty segments are not allowed");
	let substitution = "";
	for (const part of rewrite.match(/\{[^}]*\}?|[^{]+/g) ?? []) {
		const name = /^\{(.*)\}$/.exec(part)?.[1];
		if (part.startsWith("{") && name === undefined) return fail("unmatched variable bracket");
		if (name !== undefined && !variables.includes(name)) return fail(`the path template has no variable ${JSON.stringify(name)}`);
		if (name === undefined && !part.split("/").every((segment) => isLiteral.test(segment))) return fail(`invalid literal ${JSON.stringify(part)}`);
		substitution += name === undefined ? part : `\\${variables.indexOf(name) + 1}`;
	}
	return { substitution, message: undefined };
}

function splitOnce(text: string): readonly string[] {
	const at = text.indexOf("=");
	return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Literals and globs; a string is what is wrong. */
function compilePattern(pattern: string, hadTextGlob: boolean): { readonly regex: string; readonly hasTextGlob: boolean } | string {
	let regex = "";
	let hasTextGlob = hadTextGlob;
	for (const part of pattern.match(/\*\*|\*|[^*]+/g) ?? []) {
		if (part.startsWith("*")) {
			if (hasTextGlob) return "no operator may follow **";
			hasTextGlob = part === "**";
			regex += hasTextGlob ? `[*${segmentChars}/]*` : `[*${segmentChars}]+`;
			continue;
		}
		for (const segment of part.split("/")) if (!isLiteral.test(segment)) return `invalid literal ${JSON.stringify(segment)}`;
		if (part.includes("//")) return "empty segments are not allowed";
		regex += part.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
	}
	return { regex, hasTextGlob };
}
