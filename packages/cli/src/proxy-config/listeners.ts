import { at, isMap, type Json, listAt, type ProxyDump, socketOf, textAt } from "./dump.ts";
import { compareNames, isWanted, type ProxyTable, type TableFilters } from "./table.ts";

export function listenerTable({ listeners }: ProxyDump, filters: TableFilters): ProxyTable {
	const entries = listeners
		.map((listener) => ({ listener, ...addressesOf(listener), chains: chainsOf(listener).map(describeChain), type: typeOf(listener) }))
		.filter(
			({ addresses, port, type }) =>
				(filters.address === undefined || addresses.includes(filters.address)) && isWanted(filters.port, port) && isWanted(filters.type?.toUpperCase(), type),
		)
		.sort((a, b) => compareNames(a.port, b.port) || compareNames(a.addresses.join(), b.addresses.join()));
	return {
		head: ["ADDRESSES", "PORT", "MATCH", "DESTINATION"],
		rows: entries.flatMap(({ addresses, port, chains }) => chains.map(({ match, destination }) => [addresses.join(","), port, match, destination])),
		resources: entries.map(({ listener }) => listener),
		gap: 1,
	};
}

function addressesOf(listener: Json): { readonly addresses: readonly string[]; readonly port: string } {
	const first = socketOf(at(listener, "address"));
	const more = listAt(listener, "additional_addresses").map((entry) => socketOf(at(entry, "address")).address);
	return { addresses: [first.address, ...more], port: first.port };
}

function chainsOf(listener: Json): readonly Json[] {
	const fallback = at(listener, "default_filter_chain");
	return [...listAt(listener, "filter_chains"), ...(isMap(fallback) ? [fallback] : [])];
}

function typeOf(listener: Json): string {
	const names = chainsOf(listener).flatMap((chain) => listAt(chain, "filters").map((filter) => textAt(filter, "typed_config", "@type")));
	const [http, tcp] = [names.some(isHttp), names.some(isTcp)];
	return http && tcp ? "HTTP+TCP" : http ? "HTTP" : tcp ? "TCP" : "UNKNOWN";
}

const isHttp = (type: string) => type.endsWith(".HttpConnectionManager");
const isTcp = (type: string) => type.endsWith(".TcpProxy");

function describeChain(chain: Json): { readonly match: string; readonly destination: string } {
	return { match: describeMatch(at(chain, "filter_chain_match")), destination: describeFilters(listAt(chain, "filters")) };
}

/** Protocols of a chain for the mesh's own TCP over mutual TLS. */
const meshTcp = ["istio", "istio-peer-exchange"];

function describeMatch(match: Json): string {
	const names = listAt(match, "server_names").map(String);
	const transport = textAt(match, "transport_protocol");
	const protocols = listAt(match, "application_protocols").map(String);
	const port = textAt(match, "destination_port");
	const ranges = listAt(match, "prefix_ranges").map((range) => `${textAt(range, "address_prefix")}/${textAt(range, "prefix_len") || "0"}`);
	const isMeshTcp = protocols.length === meshTcp.length && meshTcp.every((name) => protocols.includes(name));
	const parts = [
		names.length > 0 ? `SNI: ${names.join(",")}` : "",
		transport === "" ? "" : `Trans: ${transport}`,
		protocols.length === 0 ? "" : isMeshTcp ? "App: TCP TLS" : `App: ${protocols.join(",")}`,
		ranges.length > 0 ? `Addr: ${ranges.join(",")}${port === "" ? "" : `:${port}`}` : port === "" ? "" : `Addr: *:${port}`,
	].filter((part) => part !== "");
	return parts.length === 0 ? "ALL" : parts.join("; ");
}

function describeFilters(filters: readonly Json[]): string {
	for (const filter of filters) {
		const config = at(filter, "typed_config");
		const type = textAt(config, "@type");
		if (isHttp(type)) return describeHttp(config);
		if (isTcp(type) && !JSON.stringify(config).includes("BlackHoleCluster")) return describeTcp(config);
	}
	return "Non-HTTP/Non-TCP";
}

function describeHttp(config: Json): string {
	const inline = at(config, "route_config");
	if (isMap(inline)) return describeInline(inline);
	const name = textAt(config, "rds", "route_config_name");
	return name === "" ? "HTTP" : `Route: ${name}`;
}

function describeTcp(config: Json): string {
	const weighted = listAt(config, "weighted_clusters", "clusters").map((cluster) => `${textAt(cluster, "name")} (${textAt(cluster, "weight")})`);
	return weighted.length > 0 ? `Clusters: ${weighted.join(", ")}` : describeCluster(textAt(config, "cluster"));
}

/** PassthroughCluster and its like are known by their names. */
const describeCluster = (name: string) => (name.includes("Cluster") ? name : `Cluster: ${name}`);

/** A table that leads everything to one cluster is told as that cluster. */
function describeInline(table: Json): string {
	const hosts = listAt(table, "virtual_hosts");
	const routes = listAt(hosts[0], "routes");
	const cluster = textAt(routes[0], "route", "cluster");
	if (hosts.length === 1 && routes.length === 1 && textAt(routes[0], "match", "prefix") === "/" && cluster !== "") return describeCluster(cluster);
	const told = hosts.map((host) => {
		const domains = listAt(host, "domains").map(String);
		const paths = listAt(host, "routes").map((route) => describePath(at(route, "match")));
		return `${domains.length === 1 && domains[0] === "*" ? "" : `${domains.join("/")} `}${paths.join(", ")}`;
	});
	return `Inline Route: ${told.join("; ")}`;
}

/** `/reviews*`, `/login` or `regex ^/v[0-9]+$`; headers are not told. */
export function describePath(match: Json): string {
	const [prefix, separated, path, regex] = [
		textAt(match, "prefix"),
		textAt(match, "path_separated_prefix"),
		textAt(match, "path"),
		textAt(match, "safe_regex", "regex"),
	];
	return [prefix === "" ? "" : `${prefix}*`, separated === "" ? "" : `PathPrefix:${separated}`, path, regex === "" ? "" : `regex ${regex}`]
		.filter((part) => part !== "")
		.join(" ");
}
