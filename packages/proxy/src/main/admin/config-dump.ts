import { type Json, stripTypeUrl, type XdsType } from "@weft/xds";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { RE2JS } from "re2js";
import { keyOf } from "../../config/resource-source.ts";
import type { RouteTable } from "../../config/routes.ts";
import { recordKey, type ResourceRecord } from "../resource-records.ts";
import { anyJson } from "./proto-json.ts";
import { tableOfHost } from "../discovered-hosts.ts";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

type Section = { readonly [key: string]: Json };

/** `/config_dump[?resource=…][&mask=…][&name_regex=…][&include_eds]` in the shapes of envoy.admin.v3.ConfigDump. */
export function showConfigDump({ query }: AdminRequest, context: AdminContext): AdminReply {
	const pattern = query.get("name_regex");
	let matches: (name: string) => boolean = () => true;
	if (pattern !== null) {
		try {
			const regex = RE2JS.compile(pattern);
			matches = (name) => regex.matches(name);
		} catch (error) {
			return { status: 400, body: `invalid name_regex: ${(error as Error).message}\n` };
		}
	}
	const sections = buildSections(context, matches, query.has("include_eds"));
	const resource = query.get("resource");
	const mask = query.get("mask");
	if (resource === null) return mask === null ? json({ configs: sections }) : maskedDump(sections, mask);
	if (resource === "bootstrap") return { status: 400, body: "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field\n" };
	const list = sections.find((section) => Object.hasOwn(section, resource))?.[resource];
	// A list that there is, and that nothing is in.
	if (list === undefined && Object.hasOwn(elementTypes, resource)) return json({});
	if (!Array.isArray(list)) return { status: 404, body: `${resource} not found in config dump\n` };
	const type = `type.googleapis.com/${elementTypes[resource] ?? ""}`;
	const configs = list.map((item: Json) => ({ "@type": type, ...(item as Section) }));
	return json({ configs: mask === null ? configs : configs.map((item) => masked(item, mask.split(","))) });
}

const elementTypes: Readonly<Record<string, string>> = {
	static_clusters: "envoy.admin.v3.ClustersConfigDump.StaticCluster",
	dynamic_active_clusters: "envoy.admin.v3.ClustersConfigDump.DynamicCluster",
	dynamic_warming_clusters: "envoy.admin.v3.ClustersConfigDump.DynamicCluster",
	static_listeners: "envoy.admin.v3.ListenersConfigDump.StaticListener",
	dynamic_listeners: "envoy.admin.v3.ListenersConfigDump.DynamicListener",
	inline_scoped_route_configs: "envoy.admin.v3.ScopedRoutesConfigDump.InlineScopedRouteConfigs",
	dynamic_scoped_route_configs: "envoy.admin.v3.ScopedRoutesConfigDump.DynamicScopedRouteConfigs",
	static_route_configs: "envoy.admin.v3.RoutesConfigDump.StaticRouteConfig",
	dynamic_route_configs: "envoy.admin.v3.RoutesConfigDump.DynamicRouteConfig",
	static_secrets: "envoy.admin.v3.SecretsConfigDump.StaticSecret",
	dynamic_active_secrets: "envoy.admin.v3.SecretsConfigDump.DynamicSecret",
	ecds_filters: "envoy.admin.v3.EcdsConfigDump.EcdsFilterConfig",
	static_endpoint_configs: "envoy.admin.v3.EndpointsConfigDump.StaticEndpointConfig",
	dynamic_endpoint_configs: "envoy.admin.v3.EndpointsConfigDump.DynamicEndpointConfig",
};

function maskedDump(sections: readonly Section[], mask: string): AdminReply {
	const configs = sections.map((section) => masked(section, mask.split(","))).filter((section) => Object.keys(section).some((key) => key !== "@type"));
	if (configs.length > 0) return json({ configs });
	return { status: 400, body: `FieldMask ${mask} could not be successfully applied to any configs.\n` };
}

function json(value: unknown): AdminReply {
	return { type: "application/json", body: `${JSON.stringify(value, undefined, 1)}\n` };
}

/** A field mask over the top fields and one level below: `bootstrap.node`. */
function masked(section: Section, paths: readonly string[]): Section {
	const out: Record<string, Json> = "@type" in section ? { "@type": section["@type"] } : {};
	for (const path of paths) {
		const [first = "", ...rest] = path.trim().split(".");
		const value = section[first];
		if (value === undefined) continue;
		const inner = rest.join(".");
		if (inner === "") out[first] = value;
		else if (Array.isArray(value)) out[first] = value.map((item: Json) => masked(item as Section, [inner]));
		else if (typeof value === "object" && value !== null) out[first] = { ...(out[first] as Section | undefined), ...masked(value as Section, [inner]) };
	}
	return out;
}

const time = (ms: number) => new Date(ms).toISOString();

function buildSections(context: AdminContext, matches: (name: string) => boolean, withEndpoints: boolean): readonly Section[] {
	const { state } = context;
	const bootstrap = anyJson({ typeUrl: "type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap", value: context.bootstrap }) as Section;
	const { "@type": _, ...fields } = bootstrap;
	return [
		{ "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", bootstrap: redactBootstrap(fields), last_updated: time(state.startedMs) },
		buildClusters(context, matches),
		...(withEndpoints ? [buildEndpoints(context, matches)] : []),
		buildListeners(context, matches),
		buildExtensions(context, matches),
		buildScopes(context, matches),
		buildRoutes(context, matches),
		buildSecrets(context, matches),
	];
}

function redactBootstrap(bootstrap: Section): Section {
	return redacted(bootstrap) as Section;
}

/** Private keys never leave the process, wherever they stand. */
function redacted(value: Json): Json {
	if (Array.isArray(value)) return value.map((item: Json) => redacted(item));
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(
		Object.entries(value as Section).map(([key, child]) => {
			const isKey = key === "private_key" || key === "password";
			if (!isKey || typeof child !== "object" || child === null || "filename" in child || "environment_variable" in child) return [key, redacted(child)];
			return [key, "inline_string" in child ? { inline_string: "[redacted]" } : { inline_bytes: Buffer.from("[redacted]").toString("base64") }];
		}),
	);
}

function recordsOf({ records }: AdminContext, type: XdsType, matches: (name: string) => boolean): readonly ResourceRecord[] {
	return records.all(type).filter(({ name }) => matches(name));
}

function body(record: ResourceRecord): Json {
	return redacted(anyJson(record.resource));
}

function failure({ records }: AdminContext, type: XdsType, name: string): Section {
	const found = records.failure(type, name);
	if (!found) return {};
	return { error_state: { details: found.details, version_info: found.version, last_update_attempt: time(found.attemptMs) }, client_status: "NACKED" };
}

function dynamic(context: AdminContext, type: XdsType, field: string, record: ResourceRecord): Section {
	return { version_info: record.version, [field]: body(record), last_updated: time(record.updatedMs), ...failure(context, type, recordKey(record)) };
}

function filled(type: string, fields: Readonly<Record<string, string | readonly Json[]>>): Section {
	return { "@type": `type.googleapis.com/envoy.admin.v3.${type}`, ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value.length > 0)) };
}

function buildClusters(context: AdminContext, matches: (name: string) => boolean): Section {
	const all = recordsOf(context, "cds", matches);
	const inForce = context.store.inForce.clusters;
	const wanted = context.store.wanted.clusters;
	const active = ({ name }: ResourceRecord) => inForce.get(name) === wanted.get(name);
	const isDynamic = all.filter(({ isStatic }) => !isStatic);
	return filled("ClustersConfigDump", {
		version_info: context.records.version("cds"),
		static_clusters: all.filter(({ isStatic }) => isStatic).map((record) => ({ cluster: body(record), last_updated: time(record.updatedMs) })),
		dynamic_active_clusters: isDynamic.filter(active).map((record) => dynamic(context, "cds", "cluster", record)),
		dynamic_warming_clusters: isDynamic.filter((record) => !active(record)).map((record) => dynamic(context, "cds", "cluster", record)),
	});
}

function buildListeners(context: AdminContext, matches: (name: string) => boolean): Section {
	const all = recordsOf(context, "lds", matches);
	const { inForce, wanted } = context.store;
	const known = new Set(all.map(({ name }) => name));
	// A listener that was refused from the start has no record, only its error.
	const refused = [...context.records.failures("lds").keys()].filter((name) => !known.has(name) && matches(name));
	return filled("ListenersConfigDump", {
		version_info: context.records.version("lds"),
		static_listeners: all.filter(({ isStatic }) => isStatic).map((record) => ({ listener: body(record), last_updated: time(record.updatedMs) })),
		dynamic_listeners: [
			...all
				.filter(({ isStatic }) => !isStatic)
				.map((record) => {
					const field = inForce.listeners.get(record.name) === wanted.listeners.get(record.name) ? "active_state" : "warming_state";
					return {
						name: record.name,
						[field]: { version_info: record.version, listener: body(record), last_updated: time(record.updatedMs) },
						...failure(context, "lds", record.name),
					};
				}),
			...refused.map((name) => ({ name, ...failure(context, "lds", name) })),
		],
	});
}

/** Envoy shows them once a kind of filter; a name is one resource all the same. */
function buildExtensions(context: AdminContext, matches: (name: string) => boolean): Section {
	const all = recordsOf(context, "ecds", matches);
	return filled("EcdsConfigDump", { ecds_filters: all.map((record) => dynamic(context, "ecds", "ecds_filter", record)) });
}

function buildRoutes(context: AdminContext, matches: (name: string) => boolean): Section {
	const { routes, virtualHosts } = context.store.wanted;
	const served = context.records.all("vhds").filter((record) => virtualHosts.get(tableOfHost(recordKey(record)))?.has(recordKey(record)));
	const discovered = Map.groupBy(served, (record) => tableOfHost(recordKey(record)));
	// As Envoy shows it: one table, wherever its virtual hosts came from.
	const whole: ShowTable = (table, vhds) => {
		const hosts = ((vhds && discovered.get(keyOf(vhds))) || []).map(hostBody);
		const own = (table["virtual_hosts"] ?? []) as readonly Json[];
		return hosts.length === 0 ? table : { ...table, virtual_hosts: [...hosts, ...own] };
	};
	const dynamicRoutes = recordsOf(context, "rds", matches).map((record) => {
		const shown = dynamic(context, "rds", "route_config", record);
		return { ...shown, route_config: whole(shown["route_config"] as Section, routes.get(recordKey(record))?.vhds) };
	});
	return filled("RoutesConfigDump", { static_route_configs: inlineRoutes(context, matches, whole), dynamic_route_configs: dynamicRoutes });
}

/** With the virtual hosts that came by themselves. */
type ShowTable = (table: Section, vhds: RouteTable["vhds"] | undefined) => Section;

/** Under the name that it has in its table. */
function hostBody(record: ResourceRecord): Json {
	const { "@type": _, ...host } = body(record) as Section;
	return host["name"] === record.name ? { ...host, name: record.name.slice(tableOfHost(record.name).length + 1) } : host;
}

/** The tables inside listeners. */
function inlineRoutes(context: AdminContext, matches: (name: string) => boolean, whole: ShowTable): readonly Json[] {
	const tables = insideListeners(context, "route_config").filter(({ value }) => matches(String(value["name"] ?? "")));
	const sources = [...context.store.wanted.inlineTables.values()].map(({ vhds }) => vhds);
	return tables.map(({ value, updatedMs }) => {
		const vhds = value["vhds"] === undefined ? undefined : sources.find((one) => one && one.name === (value["name"] ?? ""));
		return {
			route_config: { "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", ...whole(value, vhds) },
			last_updated: time(updatedMs),
		};
	});
}

/** Messages of this field's name, found in the listeners' JSON. */
function insideListeners(context: AdminContext, field: string): readonly { readonly value: Section; readonly updatedMs: number }[] {
	const found: { value: Section; updatedMs: number }[] = [];
	const visit = (value: Json, updatedMs: number): void => {
		if (Array.isArray(value)) for (const item of value) visit(item as Json, updatedMs);
		if (typeof value !== "object" || value === null || Array.isArray(value)) return;
		for (const [key, child] of Object.entries(value as Section)) {
			if (key === field && typeof child === "object" && child !== null) found.push({ value: child as Section, updatedMs });
			else visit(child, updatedMs);
		}
	};
	for (const record of context.records.all("lds")) visit(anyJson(record.resource), record.updatedMs);
	return found;
}

/** By the names of `scoped_routes`: each has its own scopes, or those that came by themselves. */
function buildScopes(context: AdminContext, matches: (name: string) => boolean): Section {
	const routes = insideListeners(context, "scoped_routes").filter(({ value }) => matches(String(value["name"])));
	const records = context.records.all("srds");
	const inline = routes.filter(({ value }) => "scoped_route_configurations_list" in value);
	const names = new Set(routes.filter(({ value }) => "scoped_rds" in value).map(({ value }) => String(value["name"])));
	const updatedMs = Math.max(0, ...records.map((record) => record.updatedMs));
	return filled("ScopedRoutesConfigDump", {
		inline_scoped_route_configs: inline.map(({ value, updatedMs }) => ({
			name: String(value["name"]),
			scoped_route_configs: scopesOf(value),
			last_updated: time(updatedMs),
		})),
		dynamic_scoped_route_configs: [...names].map((name) => ({
			name,
			version_info: context.records.version("srds"),
			scoped_route_configs: records.map(body),
			last_updated: time(updatedMs),
		})),
	});
}

function scopesOf(routes: Section): readonly Json[] {
	const list = routes["scoped_route_configurations_list"] as Section;
	const scopes = (list["scoped_route_configurations"] ?? []) as readonly Section[];
	return scopes.map((scope) => ({ "@type": "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration", ...scope }));
}

function buildSecrets(context: AdminContext, matches: (name: string) => boolean): Section {
	const all = recordsOf(context, "sds", matches);
	const own = [...context.store.inForce.secrets.values()].filter(({ name }) => matches(name) && !all.some((record) => recordKey(record) === name));
	const shown = (record: ResourceRecord): Section => ({
		name: record.name,
		version_info: record.version,
		last_updated: time(record.updatedMs),
		secret: body(record),
	});
	const { startedMs } = context.state;
	return filled("SecretsConfigDump", {
		static_secrets: all.filter(({ isStatic }) => isStatic).map(shown),
		dynamic_active_secrets: [
			...all.filter(({ isStatic }) => !isStatic).map(shown),
			// The workload's own: they have no bytes on the wire, so they are shown from what is in force.
			...own.map(({ name, certificate, validation }) => {
				const bytes = (text: string) => ({ inlineBytes: Buffer.from(text) });
				const message = Secret.fromPartial({
					name,
					tlsCertificate: certificate && { certificateChain: bytes(certificate.certChainPem), privateKey: bytes("[redacted]") },
					validationContext: validation && { trustedCa: bytes(validation.caPem) },
				});
				return {
					name,
					last_updated: time(startedMs),
					secret: redacted(
						anyJson({ typeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", value: Secret.encode(message).finish() }),
					),
				};
			}),
		],
	});
}

function buildEndpoints(context: AdminContext, matches: (name: string) => boolean): Section {
	const received = recordsOf(context, "eds", matches).map((record) => dynamic(context, "eds", "endpoint_config", record));
	const inClusters = recordsOf(context, "cds", matches).flatMap((record) => {
		const cluster = anyJson(record.resource) as Section;
		const assignment = cluster["load_assignment"];
		if (assignment === undefined || stripTypeUrl(String(cluster["@type"])) !== "envoy.config.cluster.v3.Cluster") return [];
		return [
			{
				endpoint_config: { "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", ...(assignment as Section) },
				last_updated: time(record.updatedMs),
			},
		];
	});
	return filled("EndpointsConfigDump", { static_endpoint_configs: inClusters, dynamic_endpoint_configs: received });
}
