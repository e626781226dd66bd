import { createHash } from "node:crypto";
import type { Hosts } from "./hosts.ts";
import type { Json, Resources } from "./corpus.ts";

const isBound = (listener: Json): boolean => listener["bindToPort"] !== false;

/** Names of listeners that are to have a port. */
export const boundNames = ({ lds }: Pick<Resources, "lds">): readonly string[] => [...lds].filter(([, listener]) => isBound(listener)).map(([name]) => name);

/** An HTTP connection manager of the corpus behind a listener of its own, without what decides which connections come to it. */
export interface Probe {
	readonly listener: Json;
	readonly manager: Json;
}

const raw = { name: "raw", typedConfig: { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" } };

/**
 * The corpus as it can run here. Listeners bind any free port of the loopback address: the corpus's own may be in use, or
 * need rights. Secrets come by the same stream, as no agent stands beside this proxy. Hosts are those of this process, in
 * plain text. All else stays as it is; what stays the same from case to case is one value, so that it is encoded once.
 */
export class Loopback {
	readonly #hosts: Hosts;
	readonly #moved = new WeakMap<Json, Json>();
	readonly #probes = new WeakMap<Json, readonly Probe[]>();

	constructor(hosts: Hosts) {
		this.#hosts = hosts;
	}

	async move({ cds, eds, lds, rds, ...rest }: Resources): Promise<Resources> {
		await Promise.all([...cds, ...eds].flatMap(([name, json]) => [...endpointsIn(json).keys(), 0].map((i) => this.#hosts.open(name, i))));
		const each = (all: ReadonlyMap<string, Json>, move: (json: Json) => Json) => new Map([...all].map(([name, json]) => [name, this.#once(json, move)]));
		return {
			...rest,
			cds: each(cds, (cluster) => this.#cluster(withSecrets(cluster))),
			eds: each(eds, (assignment) => this.#assignment(String(assignment["clusterName"]), assignment)),
			lds: each(lds, (listener) => (isBound(listener) ? moved(withSecrets(listener)) : withSecrets(listener))),
			rds: each(rds, withoutDelays),
		};
	}

	#once(json: Json, move: (json: Json) => Json): Json {
		const known = this.#moved.get(json);
		if (known !== undefined) return known;
		const fresh = move(json);
		this.#moved.set(json, fresh);
		return fresh;
	}

	#cluster(cluster: Json): Json {
		const name = String(cluster["name"]);
		const { cleanupInterval: _, lbPolicy, originalDstLbConfig: __, ...rest } = cluster;
		const type = cluster["type"] ?? "STATIC";
		const plain = {
			...rest,
			transportSocketMatches: [{ name: "replay", match: {}, transportSocket: raw }, ...((cluster["transportSocketMatches"] ?? []) as readonly Json[])],
		};
		if (type === "EDS") return { ...plain, ...(lbPolicy !== undefined && { lbPolicy }) };
		// Nothing is redirected here, so there is no original destination.
		if (type === "ORIGINAL_DST") return { ...plain, type: "STATIC", loadAssignment: this.#assignment(name, { clusterName: name }) };
		const loadAssignment = this.#assignment(name, (cluster["loadAssignment"] ?? { clusterName: name }) as Json);
		return { ...plain, type, loadAssignment, ...(lbPolicy !== undefined && { lbPolicy }) };
	}

	#assignment(cluster: string, assignment: Json): Json {
		let index = 0;
		const own = () => ({ address: { socketAddress: { address: "127.0.0.1", portValue: this.#hosts.portOf(cluster, index++) } } });
		if (endpointsIn(assignment).length === 0) return { ...assignment, endpoints: [{ lbEndpoints: [{ endpoint: own() }] }] };
		const endpoints = (assignment["endpoints"] as readonly Json[]).map((locality) => ({
			...locality,
			lbEndpoints: ((locality["lbEndpoints"] ?? []) as readonly Json[]).map((one) => {
				const { additionalAddresses: _, ...endpoint } = one["endpoint"] as Json;
				return { ...one, endpoint: { ...endpoint, ...own() } };
			}),
		}));
		return { ...assignment, endpoints };
	}

	/** Of a listener as it runs here. */
	probesOf(listener: Json): readonly Probe[] {
		const known = this.#probes.get(listener);
		if (known !== undefined) return known;
		const chains = [
			...((listener["filterChains"] ?? []) as readonly Json[]),
			...[listener["defaultFilterChain"] as Json | undefined].filter((chain) => chain !== undefined),
		];
		const managers = chains.flatMap((chain) => ((chain["filters"] ?? []) as readonly Json[]).map(({ typedConfig }) => typedConfig as Json | undefined));
		const fresh = managers
			.filter((config) => config !== undefined && String(config["@type"]).endsWith(".HttpConnectionManager"))
			.map((config) => probe(config as Json, listener));
		this.#probes.set(listener, fresh);
		return fresh;
	}
}

function endpointsIn(json: Json): readonly Json[] {
	const assignment = (json["loadAssignment"] ?? json) as Json;
	return ((assignment["endpoints"] ?? []) as readonly Json[]).flatMap((locality) => (locality["lbEndpoints"] ?? []) as readonly Json[]);
}

const anyPort = { socketAddress: { address: "127.0.0.1", portValue: 0 } };

function moved(listener: Json): Json {
	return { ...listener, additionalAddresses: [], address: anyPort };
}

function withSecrets(json: Json): Json {
	return JSON.parse(JSON.stringify(json, (key, value: unknown) => (key === "sdsConfig" ? { ads: {}, resourceApiVersion: "V3" } : value))) as Json;
}

/** Nobody waits here for a fault's delay. */
function withoutDelays(json: Json): Json {
	return JSON.parse(JSON.stringify(json, (key, value: unknown) => (key === "fixedDelay" ? "0.001s" : value))) as Json;
}

/** The proxy's own answers say why, and which cluster the route had chosen. */
const tellingReplies = {
	mappers: [
		{
			filter: { statusCodeFilter: { comparison: { op: "GE", value: { defaultValue: 0, runtimeKey: "replay" } } } },
			headersToAdd: [{ header: { key: "x-reason", value: "%RESPONSE_CODE_DETAILS%" } }, { header: { key: "x-chosen", value: "%UPSTREAM_CLUSTER%" } }],
		},
	],
};

function probe(config: Json, { trafficDirection }: Json): Probe {
	const { accessLog: _, ...rest } = config;
	const manager = withoutDelays({ ...rest, localReplyConfig: tellingReplies });
	const filterChains = [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typedConfig: manager }] }];
	const name = `replay/${createHash("sha256")
		.update(JSON.stringify([manager, trafficDirection]))
		.digest("hex")
		.slice(0, 16)}`;
	return { manager, listener: { name, address: anyPort, filterChains, ...(trafficDirection !== undefined && { trafficDirection }) } };
}
