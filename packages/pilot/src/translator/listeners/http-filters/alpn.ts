import { FilterConfig, FilterConfig_Protocol } from "@weft/xds/generated/istio/envoy/config/filter/http/alpn/v2alpha1/config.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilterBuilder } from "./filter.ts";

const filter = {
	name: "istio.alpn",
	typedConfig: packed("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", FilterConfig, {
		alpnOverride: [
			{ upstreamProtocol: FilterConfig_Protocol.HTTP10, alpnOverride: ["istio-http/1.0", "istio", "http/1.0"] },
			{ upstreamProtocol: FilterConfig_Protocol.HTTP11, alpnOverride: ["istio-http/1.1", "istio", "http/1.1"] },
			{ upstreamProtocol: FilterConfig_Protocol.HTTP2, alpnOverride: ["istio-h2", "istio", "h2"] },
		],
	}),
};

/** Lets the server's sidecar see from the TLS handshake alone that mutual TLS with HTTP inside is coming. */
export const buildAlpn: HttpFilterBuilder = ({ direction, istioExtensions }) => (direction !== "inbound" && istioExtensions ? filter : undefined);
