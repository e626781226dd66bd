/** What one client sent to one workload, as the workload's proxy counted it. */
export interface ClientTraffic {
	/** `workload.namespace` */
	readonly destination: string;
	/** `workload.namespace`, or "unknown" for a client that does not tell who it is. */
	readonly source: string;
	/** SPIFFE id; "unknown" without one. */
	readonly principal: string;
	readonly mutualTls: boolean;
	/** HTTP requests and TCP connections. */
	readonly count: number;
}

const counted = /^istio_(?:requests_total|tcp_connections_opened_total)\{(.*)\} (\S+)$/;

/** Reads Istio's metrics, as a proxy's /stats/prometheus has them: what its inbound side says of its clients. */
export function parseClients(metrics: string): readonly ClientTraffic[] {
	const found = new Map<string, ClientTraffic>();
	for (const line of metrics.split("\n")) {
		const [, text, value] = counted.exec(line) ?? [];
		if (text === undefined) continue;
		const labels = parseLabels(text);
		const policy = labels.get("connection_security_policy");
		if (labels.get("reporter") !== "destination" || (policy !== "mutual_tls" && policy !== "none")) continue;
		const side = (name: string) => `${labels.get(`${name}_workload`) ?? "unknown"}.${labels.get(`${name}_workload_namespace`) ?? "unknown"}`;
		const traffic = {
			destination: side("destination"),
			source: side("source").replace(/^unknown\..*$/, "unknown"),
			principal: labels.get("source_principal") ?? "unknown",
			mutualTls: policy === "mutual_tls",
		};
		const key = keyOf(traffic);
		found.set(key, { ...traffic, count: (found.get(key)?.count ?? 0) + Number(value) });
	}
	return [...found.values()];
}

const keyOf = ({ destination, source, principal, mutualTls }: Omit<ClientTraffic, "count">): string =>
	JSON.stringify([destination, source, principal, mutualTls]);

function parseLabels(text: string): ReadonlyMap<string, string> {
	return new Map([...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = "", value = ""]) => [name, value.replace(/\\(.)/g, "$1")]));
}

/** What came since an earlier look; a proxy that was started anew in between counts from 0. */
export function trafficSince(before: readonly ClientTraffic[], now: readonly ClientTraffic[]): readonly ClientTraffic[] {
	const earlier = new Map(before.map((traffic) => [keyOf(traffic), traffic.count]));
	return now.flatMap((traffic) => {
		const known = earlier.get(keyOf(traffic)) ?? 0;
		const count = traffic.count < known ? traffic.count : traffic.count - known;
		return count > 0 ? [{ ...traffic, count }] : [];
	});
}

/** The same client of several pods of one workload, once. Those that STRICT would refuse first. */
export function mergeTraffic(traffic: readonly ClientTraffic[]): readonly ClientTraffic[] {
	const merged = new Map<string, ClientTraffic>();
	for (const each of traffic) merged.set(keyOf(each), { ...each, count: each.count + (merged.get(keyOf(each))?.count ?? 0) });
	const rank = ({ mutualTls, destination, source }: ClientTraffic) => `${mutualTls ? 1 : 0} ${destination} ${source}`;
	return [...merged.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}
