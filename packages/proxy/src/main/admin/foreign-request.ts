import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";

/** What proxies add on the way; nobody who stands at the port himself sends them. */
const forwarded = ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-envoy-external-address", "x-envoy-attempt-count"];

/**
 * Why a request that changes something is not its caller's own, or undefined: a proxy or an application was made to send it here
 * (SSRF), a browser by another site, or under a name that somebody else resolves to this address (DNS rebinding).
 */
export function foreignTo(headers: IncomingHttpHeaders): string | undefined {
	const proxied = forwarded.find((name) => headers[name] !== undefined);
	if (proxied !== undefined) return `it was forwarded (${proxied})`;
	if (headers.origin !== undefined && headers.origin !== `http://${headers.host}`) return "a web page sent it (origin)";
	const site = headers["sec-fetch-site"];
	if (site !== undefined && site !== "none" && site !== "same-origin") return "a web page sent it (sec-fetch-site)";
	const host = (headers.host ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
	if (host !== "" && host !== "localhost" && isIP(host) === 0) return "it is for another host";
	return undefined;
}
