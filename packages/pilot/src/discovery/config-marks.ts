import type { AnyConfig, EnvoyConfigObjectPatch } from "@weft/api";
import type { XdsType } from "@weft/xds";

/** How what a proxy refuses is traced back to the objects that it was made of. */
export interface ConfigMarks {
	/** The types of xDS resources that the object shapes so that a proxy could refuse them. */
	readonly types: readonly XdsType[];
	/** Texts that the object leaves in a resource's name or bytes; undefined: none, whatever resource of these types it may have shaped. */
	readonly texts: readonly string[] | undefined;
}

const routes: readonly XdsType[] = ["rds", "vhds", "lds"];
const listeners: readonly XdsType[] = ["lds", "ecds"];

const patchedTypes: Readonly<Record<NonNullable<EnvoyConfigObjectPatch["applyTo"]>, readonly XdsType[]>> = {
	INVALID: [],
	LISTENER: ["lds"],
	FILTER_CHAIN: ["lds"],
	NETWORK_FILTER: ["lds"],
	LISTENER_FILTER: ["lds"],
	HTTP_FILTER: listeners,
	ROUTE_CONFIGURATION: ["rds", "vhds"],
	VIRTUAL_HOST: ["rds", "vhds"],
	HTTP_ROUTE: ["rds", "vhds"],
	CLUSTER: ["cds"],
	EXTENSION_CONFIG: ["ecds"],
	BOOTSTRAP: ["bootstrap"],
};

/** The marks of an object of a kind that has a status of its distribution; undefined for all other kinds. Pure. */
export function marksOf(object: AnyConfig): ConfigMarks | undefined {
	const { name, namespace } = object.metadata;
	switch (object.kind) {
		case "VirtualService":
			return { types: routes, texts: [virtualServiceMark(`${namespace}/${name}`)] };
		case "DestinationRule":
			return { types: ["cds"], texts: [`/apis/networking.istio.io/v1/namespaces/${namespace}/destination-rule/${name}`] };
		case "ServiceEntry":
			return { types: ["cds", "eds"], texts: object.spec.hosts };
		case "Gateway":
			return { types: ["lds"], texts: undefined };
		case "Sidecar":
			return {
				types: ["lds"],
				texts: [...(object.spec.ingress ?? []), ...(object.spec.egress ?? [])].flatMap(({ port }) => (port?.number ? [`_${port.number}`] : [])),
			};
		case "AuthorizationPolicy":
			return { types: listeners, texts: [`ns[${namespace}]-policy[${name}]-rule[`] };
		case "RequestAuthentication":
			return { types: listeners, texts: (object.spec.jwtRules ?? []).map(({ issuer }) => issuer) };
		case "PeerAuthentication":
		case "Telemetry":
		case "RateLimit":
			return { types: ["lds"], texts: undefined };
		case "WasmPlugin":
		case "TrafficExtension":
			return { types: listeners, texts: undefined };
		case "EnvoyFilter":
			return { types: (object.spec.configPatches ?? []).flatMap(({ applyTo }) => patchedTypes[applyTo ?? "INVALID"]), texts: undefined };
		default:
			return undefined;
	}
}

/** Of a VirtualService by `namespace/name`: what its routes say they are made of. */
export function virtualServiceMark(key: string): string {
	const [namespace, name] = key.split("/");
	return `/apis/networking.istio.io/v1/namespaces/${namespace}/virtual-service/${name}`;
}
