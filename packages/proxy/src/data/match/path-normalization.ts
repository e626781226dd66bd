/** What becomes of a request's path before routing. */
export type NormalizedPath =
	| { readonly kind: "ok"; readonly path: string }
	/** 400; `path`: as far as it was brought in order. */
	| { readonly kind: "reject"; readonly path: string }
	/** 307 to this path. */
	| { readonly kind: "redirect"; readonly path: string };

export interface PathNormalization {
	readonly normalizePath: boolean;
	readonly mergeSlashes: boolean;
	readonly escapedSlashes: "keep" | "reject" | "redirect" | "forward";
}

/** True for nearly all paths: there is nothing to do, so `normalizePath` need not be called. */
export function isPlainPath(path: string): boolean {
	return !/[%\\"<>^`{|}]|\/[./]/.test(path);
}

/**
 * Escaped slashes, then RFC 3986 §6.2.2 (dot segments, `\` as `/`, needless percent-encoding), then runs of slashes, as
 * Envoy's connection manager does it. The query is left alone.
 */
export function normalizePath(path: string, { normalizePath: normalize, mergeSlashes, escapedSlashes }: PathNormalization): NormalizedPath {
	const at = path.indexOf("?");
	const query = at < 0 ? "" : path.slice(at);
	let bare = at < 0 ? path : path.slice(0, at);
	const hasEscapedSlash = /%2f|%5c/i.test(bare);
	if (hasEscapedSlash && escapedSlashes === "reject") return { kind: "reject", path: unescapeSlashes(bare) + query };
	const unescape = hasEscapedSlash && escapedSlashes !== "keep";
	if (unescape) bare = unescapeSlashes(bare);
	if (normalize) {
		const canonical = toCanonical(bare);
		if (canonical === undefined) return { kind: "reject", path: bare + query };
		bare = canonical;
	}
	if (mergeSlashes) bare = bare.replace(/\/{2,}/g, "/");
	return { kind: unescape && escapedSlashes === "redirect" ? "redirect" : "ok", path: bare + query };
}

const unescapeSlashes = (path: string): string => path.replace(/%2f/gi, "/").replace(/%5c/gi, "\\");

function toCanonical(bare: string): string | undefined {
	if (bare.includes("\0") || bare.includes("%00")) return undefined;
	const slashed = bare.replaceAll("\\", "/");
	if (!slashed.startsWith("/")) return undefined;
	return removeDotSegments(toCanonicalEscapes(slashed).slice(1).split("/"));
}

const unreserved = /[A-Za-z0-9\-._~]/;

/** Two hexadecimal digits, in any case, to what they need not stand for. */
const needlessEscapes: ReadonlyMap<string, string> = new Map(
	Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
		.filter((character) => unreserved.test(character))
		.flatMap((character) => {
			const [high = "", low = ""] = character.charCodeAt(0).toString(16);
			return [high + low, high.toUpperCase() + low, high + low.toUpperCase(), high.toUpperCase() + low.toUpperCase()].map((hex) => [hex, character] as const);
		}),
);

/** Encodes what a path must not hold, decodes what need not be encoded. No slash comes or goes: segments stay what they are. */
function toCanonicalEscapes(path: string): string {
	if (!/[%"<>^`{|}]/.test(path)) return path;
	if (!/%(?![0-9a-fA-F]{2})/.test(path)) return path.replace(escapes, toCanonicalEscape);
	// A percent sign that is no escape must not become one by what is decoded behind it (`%2%45` is no dot): whoever decodes
	// once more would see another path than the one that was routed by. It is set apart by what no path holds.
	const decoded = path.replace(/%(?![0-9a-fA-F]{2})/g, barePercent).replace(escapes, toCanonicalEscape);
	return decoded.replace(/\u0100([0-9a-fA-F]{2})/g, "%25$1").replaceAll(barePercent, "%");
}

const barePercent = "\u0100";
const escapes = /%([0-9a-fA-F]{2})|["<>^`{|}]/g;

function toCanonicalEscape(found: string, hex: string | undefined): string {
	return hex === undefined ? `%${found.charCodeAt(0).toString(16).toUpperCase()}` : (needlessEscapes.get(hex) ?? found);
}

/**
 * Takes the parameters off a dot segment: servers that ignore `;x` would see `..` in `..;x`, and so must the routes.
 * The dots may have been escaped: decode first.
 */
function withoutParameters(segment: string): string {
	return segment.charCodeAt(0) === 46 ? segment.replace(/^(\.{1,2});.*$/s, "$1") : segment;
}

/** RFC 3986 §5.2.4; `..` above the root stays at the root. */
function removeDotSegments(segments: readonly string[]): string {
	const kept: string[] = [];
	let last = "";
	for (const segment of segments) {
		last = withoutParameters(segment);
		if (last === "..") kept.pop();
		else if (last !== ".") kept.push(last);
	}
	if (last === "." || last === "..") kept.push("");
	return `/${kept.join("/")}`;
}
