import { CommandError } from "../output/errors.ts";

/** A value of a config_dump, in Envoy's field names: https://www.envoyproxy.io/docs/envoy/latest/api-v3/admin/v3/config_dump.proto */
export type Json = unknown;
export type JsonMap = Readonly<Record<string, Json>>;

/** What a proxy runs, taken out of the sections of its config_dump. */
export interface ProxyDump {
	readonly clusters: readonly JsonMap[];
	readonly listeners: readonly JsonMap[];
	readonly routes: readonly JsonMap[];
	/** ClusterLoadAssignments. */
	readonly endpoints: readonly JsonMap[];
	readonly secrets: readonly { readonly state: "ACTIVE" | "WARMING"; readonly secret: JsonMap; readonly entry: JsonMap }[];
	readonly bootstrap: JsonMap | undefined;
}

export function isMap(value: Json): value is JsonMap {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a path of keys and indices; undefined where there is none. */
export function at(value: Json, ...path: readonly (string | number)[]): Json {
	return path.reduce<Json>(
		(inner, key) => (typeof inner === "object" && inner !== null ? (inner as Readonly<Record<string | number, Json>>)[key] : undefined),
		value,
	);
}

export function listAt(value: Json, ...path: readonly (string | number)[]): readonly Json[] {
	const found = at(value, ...path);
	return Array.isArray(found) ? (found as readonly Json[]) : [];
}

export function textAt(value: Json, ...path: readonly (string | number)[]): string {
	const found = at(value, ...path);
	return typeof found === "string" ? found : typeof found === "number" ? String(found) : "";
}

/** Reads the text of `/config_dump?include_eds`. Throws a CommandError that names the source. */
export function parseDump(text: string, source: string): ProxyDump {
	let dump: Json;
	try {
		dump = JSON.parse(text);
	} catch (error) {
		throw new CommandError(`${source}: this is no JSON: ${error instanceof Error ? error.message : String(error)}`);
	}
	const sections = listAt(dump, "configs");
	if (sections.length === 0) throw new CommandError(`${source}: this is no config_dump: there are no "configs"`);
	const all = (section: string, part: string, ...path: string[]): JsonMap[] =>
		sections
			.filter((config) => textAt(config, "@type").endsWith(`.${section}`))
			.flatMap((config) => listAt(config, part))
			.map((entry) => at(entry, ...path))
			.filter(isMap);
	const secrets = (state: "ACTIVE" | "WARMING", part: string) =>
		all("SecretsConfigDump", part).flatMap((entry) => {
			const secret = at(entry, "secret");
			return isMap(secret) ? [{ state, secret, entry }] : [];
		});
	const bootstrap = sections.find((config) => textAt(config, "@type").endsWith(".BootstrapConfigDump"));
	return {
		clusters: [...all("ClustersConfigDump", "static_clusters", "cluster"), ...all("ClustersConfigDump", "dynamic_active_clusters", "cluster")],
		listeners: [...all("ListenersConfigDump", "static_listeners", "listener"), ...all("ListenersConfigDump", "dynamic_listeners", "active_state", "listener")],
		routes: [...all("RoutesConfigDump", "static_route_configs", "route_config"), ...all("RoutesConfigDump", "dynamic_route_configs", "route_config")],
		endpoints: [
			...all("EndpointsConfigDump", "static_endpoint_configs", "endpoint_config"),
			...all("EndpointsConfigDump", "dynamic_endpoint_configs", "endpoint_config"),
		],
		secrets: [...secrets("ACTIVE", "static_secrets"), ...secrets("ACTIVE", "dynamic_active_secrets"), ...secrets("WARMING", "dynamic_warming_secrets")],
		bootstrap: isMap(bootstrap) ? bootstrap : undefined,
	};
}

/** `reviews.default` of `/apis/networking.istio.io/v1alpha3/namespaces/default/virtual-service/reviews`, which the control plane leaves in metadata. */
export function managedBy(resource: Json): string {
	const parts = textAt(resource, "metadata", "filter_metadata", "istio", "config").split("/");
	return parts.length >= 8 ? `${parts[7]}.${parts[5]}` : "";
}

export interface ClusterName {
	readonly direction: string;
	readonly port: string;
	readonly subset: string;
	readonly fqdn: string;
}

/** `outbound|9080|v1|reviews.default.svc.cluster.local`; undefined for names of another form. */
export function parseClusterName(name: string): ClusterName | undefined {
	const [direction, port, subset, fqdn] = name.split("|");
	return direction === undefined || port === undefined || subset === undefined || fqdn === undefined ? undefined : { direction, port, subset, fqdn };
}

/** Address and port of a `core.v3.Address`. */
export function socketOf(address: Json): { readonly address: string; readonly port: string } {
	const pipe = textAt(address, "pipe", "path");
	if (pipe !== "") return { address: `unix://${pipe}`, port: "0" };
	const internal = textAt(address, "envoy_internal_address", "server_listener_name");
	if (internal !== "") return { address: `envoy://${internal}`, port: "0" };
	return { address: textAt(address, "socket_address", "address"), port: textAt(address, "socket_address", "port_value") };
}
