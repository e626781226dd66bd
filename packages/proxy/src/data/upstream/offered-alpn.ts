import type { UpstreamTls } from "../../config/tls.ts";

/** Where the configuration says nothing, as Envoy has it. */
export const bothProtocols: readonly string[] = ["h2", "http/1.1"];
export const http2Only: readonly string[] = ["h2"];
const http1: readonly string[] = ["http/1.1"];

function http1Only(names: readonly string[]): readonly string[] {
	return names.filter((name) => name !== "h2" && name !== "istio-h2");
}

const filtered = new WeakMap<UpstreamTls, readonly string[] | undefined>();

/** What to offer where HTTP/1.1 will be spoken; undefined: the list as it is. */
export function withoutHttp2(tls: UpstreamTls): readonly string[] | undefined {
	if (filtered.has(tls)) return filtered.get(tls);
	const rest = http1Only(tls.alpn);
	const result = tls.alpn.length === 0 ? http1 : rest.length === tls.alpn.length ? undefined : rest;
	filtered.set(tls, result);
	return result;
}
