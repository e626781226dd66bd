import { at, type Json, listAt, type ProxyDump, socketOf, textAt } from "./dump.ts";
import { compareNames, isWanted, type ProxyTable, type TableFilters } from "./table.ts";

export function endpointTable({ endpoints }: ProxyDump, filters: TableFilters): ProxyTable {
	const isShown = (row: Row) =>
		isWanted(filters.cluster, row.cluster) &&
		isWanted(filters.address, row.address) &&
		isWanted(filters.port, row.port) &&
		isWanted(filters.status?.toUpperCase(), row.status);
	const rows = endpoints
		.flatMap(rowsOf)
		.filter(isShown)
		.sort((a, b) => compareNames(a.cluster, b.cluster) || compareNames(a.address, b.address) || compareNames(a.port, b.port));
	const clusters = new Set(rows.map(({ cluster }) => cluster));
	return {
		head: ["NAME", "STATUS", "LOCALITY", "CLUSTER"],
		rows: rows.map(({ address, port, status, locality, cluster }) => [port === "" || port === "0" ? address : `${address}:${port}`, status, locality, cluster]),
		resources: endpoints.filter((assignment) => clusters.has(textAt(assignment, "cluster_name"))),
	};
}

interface Row {
	readonly cluster: string;
	readonly address: string;
	readonly port: string;
	readonly status: string;
	readonly locality: string;
}

function rowsOf(assignment: Json): Row[] {
	return listAt(assignment, "endpoints").flatMap((group) => {
		const locality = ["region", "zone", "sub_zone"].map((part) => textAt(group, "locality", part)).filter((part) => part !== "");
		return listAt(group, "lb_endpoints").map((endpoint) => ({
			cluster: textAt(assignment, "cluster_name"),
			...socketOf(at(endpoint, "endpoint", "address")),
			status: textAt(endpoint, "health_status") || "UNKNOWN",
			locality: locality.join("/"),
		}));
	});
}
