import { readFileSync } from "node:fs";
import { type ClusterOptions, openCluster, resolvePod } from "../kube/cluster.ts";
import { CommandError } from "../output/errors.ts";
import { renderValue } from "../output/format.ts";
import { renderTable } from "../output/table.ts";
import { clusterTable } from "../proxy-config/clusters.ts";
import { parseDump, type ProxyDump } from "../proxy-config/dump.ts";
import { endpointTable } from "../proxy-config/endpoints.ts";
import { listenerTable } from "../proxy-config/listeners.ts";
import { routeTable } from "../proxy-config/routes.ts";
import { secretTable } from "../proxy-config/secrets.ts";
import type { ProxyTable, TableFilters } from "../proxy-config/table.ts";

export interface ProxyConfigOptions extends ClusterOptions, TableFilters {
	readonly namespace?: string;
	readonly file?: string;
	readonly output: "short" | "json" | "yaml";
}

const adminPort = 15_000;

const tables: Readonly<Record<string, (dump: ProxyDump, filters: TableFilters) => ProxyTable>> = {
	cluster: clusterTable,
	listener: listenerTable,
	route: routeTable,
	endpoint: endpointTable,
	secret: (dump) => secretTable(dump, new Date()),
};

export async function proxyConfigCommand(what: string, pod: string | undefined, options: ProxyConfigOptions): Promise<void> {
	const text = await readDump(pod, options);
	process.stdout.write(renderDump(what, parseDump(text, options.file ?? pod ?? ""), text, options));
}

/** What a subcommand prints: tables, or the resources that the filters leave. */
export function renderDump(what: string, dump: ProxyDump, text: string, options: Pick<ProxyConfigOptions, "output"> & TableFilters): string {
	const { output } = options;
	if (what === "bootstrap") return renderValue(dump.bootstrap ?? {}, output === "yaml" ? "yaml" : "json");
	if (what === "all") {
		if (output !== "short") return renderValue(JSON.parse(text) as unknown, output);
		const shown = Object.values(tables).map((table) => table(dump, {}));
		return shown
			.filter(({ rows }) => rows.length > 0)
			.map(renderProxyTable)
			.join("\n");
	}
	const table = tables[what]?.(dump, options);
	if (!table) throw new CommandError(`there is no proxy-config ${what}`);
	return output === "short" ? renderProxyTable(table) : renderValue(table.resources, output);
}

const renderProxyTable = ({ head, rows, gap = 5 }: ProxyTable): string => renderTable(head, rows, gap);

async function readDump(pod: string | undefined, options: ProxyConfigOptions): Promise<string> {
	const { file } = options;
	if (file !== undefined) {
		try {
			return readFileSync(file === "-" ? 0 : file, "utf8");
		} catch (error) {
			throw new CommandError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
		}
	}
	if (pod === undefined) throw new CommandError("name a pod (POD, POD.NAMESPACE or deployment/NAME), or a config_dump by --file");
	const cluster = await openCluster(options);
	return cluster.get(await resolvePod(cluster, pod, options.namespace), adminPort, "/config_dump?include_eds");
}
