import { currentName, type ExtensionKind, movedTypeUrl, typeUrlOf } from "./upgrade-types.ts";
import { createNode, inList, inObject, isObject, type Json, keyOf, type Node, note, pathOf, read, rename, take, type Upgrade } from "./upgrade-context.ts";
import { upgradeRouteTable } from "./upgrade-routes.ts";

/**
 * Reads a bootstrap of the v2 era (2017–2020) as the v3 one that it means, and says for each change what to write instead.
 * Envoy itself refuses such files since 1.18. The input is not changed.
 */
export function upgradeBootstrap(json: Json): { readonly json: Json; readonly upgrades: readonly Upgrade[] } {
	const upgrades: Upgrade[] = [];
	const root = createNode("", json, upgrades);
	inObject(root, "static_resources", (resources) => {
		inList(resources, "listeners", upgradeListener);
		inList(resources, "clusters", upgradeCluster);
		inList(resources, "secrets", (secret) => inObject(secret, "validation_context", upgradeValidation));
	});
	inObject(root, "admin", (admin) => inList(admin, "access_log", (log) => upgradeExtension(log, "accessLog", () => {})));
	inObject(root, "dynamic_resources", (dynamic) => {
		inObject(dynamic, "ads_config", upgradeApi);
		for (const name of ["lds_config", "cds_config"]) inObject(dynamic, name, upgradeConfigSource);
	});
	rename(root, "runtime", "layered_runtime", upgradeRuntime);
	return { json: root.fields, upgrades };
}

/** The layers that `runtime` stood for. */
function upgradeRuntime(old: unknown): Json {
	const runtime = isObject(old) ? old : {};
	const valueOf = (name: string, otherName: string) => runtime[name] ?? runtime[otherName];
	const [root, override] = [valueOf("symlink_root", "symlinkRoot"), valueOf("override_subdirectory", "overrideSubdirectory")];
	const disk = (name: string, subdirectory: unknown, more: Json = {}) => ({
		name,
		disk_layer: { symlink_root: root, ...(subdirectory !== undefined && { subdirectory }), ...more },
	});
	return {
		layers: [
			{ name: "base", static_layer: runtime["base"] ?? {} },
			...(root === undefined ? [] : [disk("root", runtime["subdirectory"])]),
			...(root === undefined || override === undefined ? [] : [disk("override", override, { append_service_cluster: true })]),
			{ name: "admin", admin_layer: {} },
		],
	};
}

function upgradeConfigSource(source: Node): void {
	inObject(source, "api_config_source", upgradeApi);
	upgradeVersion(source, "resource_api_version");
}

function upgradeApi(api: Node): void {
	upgradeVersion(api, "transport_api_version");
}

function upgradeVersion(node: Node, name: string): void {
	const version = read(node, name);
	if (version !== "V2") return;
	note(node, name, `${name}: V2`, `${name}: V3`);
	node.fields[keyOf(node, name) ?? name] = "V3";
}

function upgradeListener(listener: Node): void {
	inList(listener, "listener_filters", (filter) => upgradeExtension(filter, "listener", () => {}));
	inList(listener, "filter_chains", upgradeChain);
	inObject(listener, "default_filter_chain", upgradeChain);
	inList(listener, "access_log", (log) => upgradeExtension(log, "accessLog", () => {}));
	const old = read(listener, "deprecated_v1");
	if (isObject(old) && ("bind_to_port" in old || "bindToPort" in old)) {
		note(listener, "deprecated_v1", "deprecated_v1.bind_to_port", "bind_to_port");
		take(listener, "deprecated_v1");
		listener.fields["bind_to_port"] = old["bind_to_port"] ?? old["bindToPort"];
	}
}

function upgradeChain(chain: Node): void {
	upgradeTlsContext(chain, "downstreamSocket");
	inObject(chain, "transport_socket", (socket) => upgradeExtension(socket, "downstreamSocket", upgradeTls));
	inList(chain, "filters", (filter) => upgradeExtension(filter, "network", (config, type) => upgradeNetworkFilter(config, type)));
	// A port range of the v1 days: the match knows exact server names only under their newer name.
	inObject(chain, "filter_chain_match", (match) => rename(match, "sni_domains", "server_names"));
}

function upgradeNetworkFilter(config: Node, typeUrl: string): void {
	inList(config, "access_log", (log) => upgradeExtension(log, "accessLog", () => {}));
	if (!typeUrl.endsWith(".HttpConnectionManager")) return upgradeTcpProxy(config);
	inList(config, "http_filters", (filter) => upgradeExtension(filter, "http", upgradeHttpFilter));
	inObject(config, "route_config", upgradeRouteTable);
	inObject(config, "rds", (rds) => inObject(rds, "config_source", upgradeConfigSource));
	if (keyOf(config, "idle_timeout") !== undefined) {
		note(config, "idle_timeout", "idle_timeout", "common_http_protocol_options.idle_timeout");
		const common = take(config, "common_http_protocol_options");
		config.fields["common_http_protocol_options"] = { ...(isObject(common) ? common : {}), idle_timeout: take(config, "idle_timeout") };
	}
	inObject(config, "tracing", (tracing) => {
		for (const name of ["operation_name", "request_headers_for_tags"]) {
			if (keyOf(tracing, name) === undefined) continue;
			note(tracing, name, `tracing.${name}`, name === "operation_name" ? "the listener's traffic_direction" : "tracing.custom_tags");
			take(tracing, name);
		}
	});
}

function upgradeTcpProxy(config: Node): void {
	const old = read(config, "deprecated_v1");
	const routes = isObject(old) ? old["routes"] : undefined;
	const first: unknown = Array.isArray(routes) && routes.length === 1 ? routes[0] : undefined;
	if (!isObject(first) || Object.keys(first).some((key) => key !== "cluster")) return;
	note(config, "deprecated_v1", "deprecated_v1.routes", "cluster");
	take(config, "deprecated_v1");
	config.fields["cluster"] = first["cluster"];
}

function upgradeHttpFilter(config: Node, typeUrl: string): void {
	if (!typeUrl.endsWith(".HTTPFault")) return;
	for (const name of ["delay", "abort"]) {
		inObject(config, name, (fault) => rename(fault, "percent", "percentage", (value) => ({ numerator: value, denominator: "HUNDRED" })));
	}
}

function upgradeCluster(cluster: Node): void {
	if (keyOf(cluster, "hosts") !== undefined) upgradeHosts(cluster);
	upgradeTlsContext(cluster, "upstreamSocket");
	inObject(cluster, "transport_socket", (socket) => upgradeExtension(socket, "upstreamSocket", upgradeTls));
	inObject(cluster, "eds_cluster_config", (eds) => inObject(eds, "eds_config", upgradeConfigSource));
	if (read(cluster, "lb_policy") === "ORIGINAL_DST_LB") {
		note(cluster, "lb_policy", "lb_policy: ORIGINAL_DST_LB", "lb_policy: CLUSTER_PROVIDED");
		cluster.fields[keyOf(cluster, "lb_policy") ?? "lb_policy"] = "CLUSTER_PROVIDED";
	}
	upgradeStaticNames(cluster);
}

function upgradeHosts(cluster: Node): void {
	note(cluster, "hosts", "hosts", "load_assignment");
	const hosts = take(cluster, "hosts");
	const list = Array.isArray(hosts) ? hosts : [hosts];
	cluster.fields["load_assignment"] = {
		cluster_name: read(cluster, "name"),
		endpoints: [{ lb_endpoints: list.map((address: unknown) => ({ endpoint: { address } })) }],
	};
}

// A static cluster cannot hold names. Tutorials that do it mean DNS, and so it is read.
function upgradeStaticNames(cluster: Node): void {
	const type = read(cluster, "type");
	if (type !== undefined && type !== "STATIC") return;
	const name = firstHostName(read(cluster, "load_assignment") ?? read(cluster, "loadAssignment"));
	if (name === undefined) return;
	note(cluster, type === undefined ? "name" : "type", `type: STATIC with the host name ${name}`, "type: STRICT_DNS");
	take(cluster, "type");
	cluster.fields["type"] = "STRICT_DNS";
}

function firstHostName(value: unknown): string | undefined {
	if (Array.isArray(value)) return value.map(firstHostName).find((name) => name !== undefined);
	if (!isObject(value)) return undefined;
	for (const [key, child] of Object.entries(value)) {
		if ((key === "socket_address" || key === "socketAddress") && isObject(child)) {
			const address = child["address"];
			if (typeof address === "string" && !/^[\d.]+$/.test(address) && !address.includes(":")) return address;
		} else {
			const found = firstHostName(child);
			if (found !== undefined) return found;
		}
	}
	return undefined;
}

function upgradeTlsContext(node: Node, kind: "downstreamSocket" | "upstreamSocket"): void {
	if (keyOf(node, "tls_context") === undefined) return;
	note(node, "tls_context", "tls_context", "transport_socket with the name envoy.transport_sockets.tls");
	inObject(node, "tls_context", upgradeTls);
	const context = take(node, "tls_context");
	const typed = { "@type": typeUrlOf(kind, "tls"), ...(isObject(context) ? context : {}) };
	node.fields["transport_socket"] = { name: "envoy.transport_sockets.tls", typed_config: typed };
}

function upgradeTls(context: Node): void {
	inObject(context, "common_tls_context", (common) => {
		inObject(common, "validation_context", upgradeValidation);
		inObject(common, "combined_validation_context", (combined) => inObject(combined, "default_validation_context", upgradeValidation));
	});
}

function upgradeValidation(context: Node): void {
	rename(context, "verify_subject_alt_name", "match_subject_alt_names", (names) => (Array.isArray(names) ? names.map((exact: unknown) => ({ exact })) : names));
}

/** `config` → `typed_config`, older type names → newer ones, a missing configuration → the default one of that name. */
export function upgradeExtension(extension: Node, kind: ExtensionKind, visit: (config: Node, typeUrl: string) => void): void {
	const name = String(read(extension, "name") ?? "");
	const known = typeUrlOf(kind, name);
	const config = keyOf(extension, "config");
	const typed = keyOf(extension, "typed_config");
	if (config !== undefined && typed === undefined && known !== undefined) {
		note(extension, "config", `config of ${name}`, `typed_config with "@type": ${known}`);
		moveConfig(extension, known, visit);
	} else if (typed === undefined && config === undefined && known !== undefined && keyOf(extension, "config_discovery") === undefined) {
		note(extension, "name", `${name} without typed_config`, `typed_config: { "@type": ${known} }`);
		extension.fields["typed_config"] = { "@type": known };
	} else if (typed !== undefined) {
		inObject(extension, "typed_config", (child) => upgradeTyped(child, visit));
	}
	const current = currentName(kind, name);
	if (current !== name && known !== undefined) {
		// With a typed configuration the name is only a label: no warning of its own.
		extension.fields["name"] = current;
	}
}

function moveConfig(extension: Node, typeUrl: string, visit: (config: Node, typeUrl: string) => void): void {
	const path = pathOf(extension, "config");
	const config = take(extension, "config");
	const child = createNode(path, isObject(config) ? config : {}, extension.upgrades);
	visit(child, typeUrl);
	extension.fields["typed_config"] = { "@type": typeUrl, ...child.fields };
}

function upgradeTyped(config: Node, visit: (config: Node, typeUrl: string) => void): void {
	const typeUrl = String(config.fields["@type"] ?? "");
	const moved = movedTypeUrl(typeUrl);
	if (moved !== undefined) {
		note(config, "@type", typeUrl, moved);
		config.fields["@type"] = moved;
	}
	visit(config, moved ?? typeUrl);
}
