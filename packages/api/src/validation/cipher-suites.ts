/** Those that Envoy has. https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/transport_sockets/tls/v3/common.proto */
const known: ReadonlySet<string> = new Set([
	...["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA"].flatMap((name) => [name, `ECDHE-ECDSA-${name}`, `ECDHE-RSA-${name}`]),
	...["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", "DES-CBC3-SHA"],
]);

export const isCipherSuite = (name: string): boolean => known.has(name);

/** Each that is known, once: one that is not would have Envoy refuse the whole listener. */
export const usableCipherSuites = (names: readonly string[]): readonly string[] => [...new Set(names.filter(isCipherSuite))];
