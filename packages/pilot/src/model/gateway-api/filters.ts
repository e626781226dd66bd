import type {
	CORSFilter,
	CorsPolicy,
	HeaderModifier,
	HeaderOperations,
	HTTPRedirect,
	HTTPRewrite,
	RequestMirrorFilter,
	RequestRedirectFilter,
	StringMatch,
	URLRewriteFilter,
} from "@weft/api";

// Filters of HTTPRoute in the words of a VirtualService.

export function headerOperations({ set, add, remove }: HeaderModifier): HeaderOperations {
	return { ...(set?.length && { set: headerMap(set) }), ...(add?.length && { add: headerMap(add) }), ...(remove?.length && { remove: [...remove] }) };
}

/** The first of several entries for one name counts. */
function headerMap(headers: readonly { readonly name: string; readonly value: string }[]): Record<string, string> {
	const map: Record<string, string> = {};
	for (const { name, value } of headers) {
		const key = name.toLowerCase();
		if (!Object.hasOwn(map, key)) map[key] = value;
	}
	return map;
}

/** Marks a redirect that replaces the matched prefix, as `redirectOf` reads it. */
export const prefixMark = "%PREFIX()%";

const redirectStatusDefault = 302;

export function redirect({ scheme, hostname, path, port, statusCode }: RequestRedirectFilter): HTTPRedirect {
	const uri = path?.type === "ReplacePrefixMatch" ? `${prefixMark}${path.replacePrefixMatch ?? ""}` : path?.replaceFullPath;
	return {
		redirectCode: statusCode ?? redirectStatusDefault,
		...(hostname && { authority: hostname }),
		...(scheme && { scheme }),
		// Without a port the request's own stays, unless the scheme changes.
		...(port ? { port } : { derivePort: scheme ? "FROM_PROTOCOL_DEFAULT" : "FROM_REQUEST_PORT" }),
		...(uri !== undefined && { uri }),
	};
}

export function rewrite({ hostname, path }: URLRewriteFilter): HTTPRewrite | undefined {
	const authority = hostname ? { authority: hostname } : {};
	if (path?.type === "ReplacePrefixMatch") return { ...authority, uri: (path.replacePrefixMatch ?? "").replace(/\/$/, "") || "/" };
	if (path?.type === "ReplaceFullPath") return { ...authority, uriRegexRewrite: { match: "/.*", rewrite: path.replaceFullPath ?? "" } };
	return hostname ? authority : undefined;
}

export function cors(filter: CORSFilter): CorsPolicy {
	const { allowOrigins, allowCredentials, allowMethods, allowHeaders, exposeHeaders, maxAge } = filter;
	return {
		...(allowOrigins?.length && { allowOrigins: allowOrigins.filter((origin) => origin !== "").map(originMatch) }),
		...(allowCredentials && { allowCredentials }),
		...(allowMethods?.length && { allowMethods }),
		...(allowHeaders?.length && { allowHeaders }),
		...(exposeHeaders?.length && { exposeHeaders }),
		...(maxAge && { maxAge: `${maxAge}s` }),
		unmatchedPreflights: "IGNORE",
	};
}

/** Any origin that is one: a scheme, a host and maybe a port. */
const anyOrigin = "^[a-zA-Z][a-zA-Z0-9+.-]*://[^/\\s?#]+$";

/** `*` alone is for all origins; within one (`https://*.example.com`) it takes any run of characters. */
function originMatch(origin: string): StringMatch {
	if (!origin.includes("*")) return { exact: origin };
	if (origin === "*") return { regex: anyOrigin };
	if (origin.indexOf("*") === origin.length - 1) return { prefix: origin.slice(0, -1) };
	const parts = origin.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
	return { regex: `^${parts.join(".*")}$` };
}

/** Percent of requests to mirror; undefined: all. */
export function mirrorPercentage({ percent, fraction }: Pick<RequestMirrorFilter, "percent" | "fraction">): number | undefined {
	if (fraction) return (fraction.numerator * 100) / (fraction.denominator ?? 100);
	return percent;
}
