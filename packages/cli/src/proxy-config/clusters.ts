import { managedBy, parseClusterName, type ProxyDump, textAt } from "./dump.ts";
import { compareNames, isWanted, type ProxyTable, type TableFilters } from "./table.ts";

export function clusterTable({ clusters }: ProxyDump, filters: TableFilters): ProxyTable {
	const entries = clusters
		.map((cluster) => {
			const name = textAt(cluster, "name");
			return { cluster, ...(parseClusterName(name) ?? { fqdn: name, port: "", subset: "", direction: "" }) };
		})
		.filter(
			({ fqdn, port, subset, direction }) =>
				isWanted(filters.fqdn, fqdn) && isWanted(filters.port, port) && isWanted(filters.subset, subset) && isWanted(filters.direction, direction),
		)
		.sort((a, b) => compareNames(a.fqdn, b.fqdn) || compareNames(a.subset, b.subset) || compareNames(a.port, b.port) || compareNames(a.direction, b.direction));
	const or = (text: string) => (text === "" ? "-" : text);
	return {
		head: ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"],
		rows: entries.map(({ cluster, fqdn, port, subset, direction }) => {
			// STATIC is proto3's zero, which Envoy prints or leaves out.
			const type = textAt(cluster, "type") || textAt(cluster, "cluster_type", "name") || "STATIC";
			return [fqdn, or(port), or(subset), or(direction), type, managedBy(cluster)];
		}),
		resources: entries.map(({ cluster }) => cluster),
	};
}
