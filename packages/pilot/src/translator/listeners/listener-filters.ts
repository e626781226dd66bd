import { HttpInspector } from "@weft/xds/generated/envoy/extensions/filters/listener/http_inspector/v3/http_inspector.ts";
import { OriginalDst } from "@weft/xds/generated/envoy/extensions/filters/listener/original_dst/v3/original_dst.ts";
import { OriginalSrc } from "@weft/xds/generated/envoy/extensions/filters/listener/original_src/v3/original_src.ts";
import { ProxyProtocol } from "@weft/xds/generated/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.ts";
import { TlsInspector } from "@weft/xds/generated/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.ts";
import { packed } from "../routes/values.ts";

const prefix = "envoy.extensions.filters.listener";

export const originalDst = {
	name: "envoy.filters.listener.original_dst",
	typedConfig: packed(`${prefix}.original_dst.v3.OriginalDst`, OriginalDst, {}),
};

/** Upstream connections show the client's address; the mark is what the rules of TPROXY capture know them by. */
export const originalSrc = {
	name: "envoy.filters.listener.original_src",
	typedConfig: packed(`${prefix}.original_src.v3.OriginalSrc`, OriginalSrc, { mark: 1337 }),
};

/** Takes the client's address from the PROXY protocol that a load balancer in front of a gateway writes. */
export const proxyProtocol: object = {
	name: "envoy.filters.listener.proxy_protocol",
	typedConfig: packed(`${prefix}.proxy_protocol.v3.ProxyProtocol`, ProxyProtocol, {}),
};

const httpInspectorFilter = {
	name: "envoy.filters.listener.http_inspector",
	typedConfig: packed(`${prefix}.http_inspector.v3.HttpInspector`, HttpInspector, {}),
};

const tlsInspectorFilter = {
	name: "envoy.filters.listener.tls_inspector",
	// A ClientHello mostly fits; the buffer grows only where it does not.
	typedConfig: packed(`${prefix}.tls_inspector.v3.TlsInspector`, TlsInspector, { initialReadBufferSize: 512 }),
};

export const httpInspector: object = httpInspectorFilter;
export const tlsInspector: object = tlsInspectorFilter;

/** The inspector, switched off for connections to these ports (sniffing them would only cost time, or hang where the server speaks first). */
export function httpInspectorExcept(ports: readonly number[]): object {
	return { ...httpInspectorFilter, ...disabledFor(ports) };
}

export function tlsInspectorExcept(ports: readonly number[]): object {
	return { ...tlsInspectorFilter, ...disabledFor(ports) };
}

/** The inspector, switched on for connections to this port alone. */
export function tlsInspectorOnly(port: number): object {
	return { ...tlsInspectorFilter, filterDisabled: { notMatch: { destinationPortRange: { start: port, end: port + 1 } } } };
}

function disabledFor(ports: readonly number[]): object {
	const rules = [...new Set(ports)].sort((a, b) => a - b).map((port) => ({ destinationPortRange: { start: port, end: port + 1 } }));
	const [only] = rules;
	if (only === undefined) return {};
	return { filterDisabled: rules.length === 1 ? only : { orMatch: { rules } } };
}
