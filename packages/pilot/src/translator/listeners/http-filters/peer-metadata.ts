import { TypedStruct } from "@weft/xds/generated/udpa/type/v1/typed_struct.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilter, HttpFilterBuilder } from "./filter.ts";

/** Tells the two proxies of a request who the other one's workload is: by headers, else by asking the control plane. */
export const buildPeerMetadata: HttpFilterBuilder = ({ direction, istioExtensions, hideFromOutside }) => {
	if (!istioExtensions) return undefined;
	if (direction === "inbound") return inbound;
	return hideFromOutside ? outboundInMesh : outbound;
};

const discovery = [{ istio_headers: {} }, { workload_discovery: {} }];
const outbound = peerMetadata({ upstream_discovery: discovery, upstream_propagation: [{ istio_headers: {} }] });
const outboundInMesh = peerMetadata({ upstream_discovery: discovery, upstream_propagation: [{ istio_headers: { skip_external_clusters: true } }] });
const inbound = peerMetadata({ downstream_discovery: discovery, downstream_propagation: [{ istio_headers: {} }] });

function peerMetadata(value: object): HttpFilter {
	const typeUrl = "type.googleapis.com/io.istio.http.peer_metadata.Config";
	return { name: "istio.metadata_exchange", typedConfig: packed("udpa.type.v1.TypedStruct", TypedStruct, { typeUrl, value }) };
}
