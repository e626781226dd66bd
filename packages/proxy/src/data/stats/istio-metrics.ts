import type { NodeInfo } from "../../config/runtime-config.ts";
import type { IstioStats } from "../../config/telemetry.ts";
import { formatResponseFlags } from "../log/response-flags.ts";
import { defaultBounds } from "./histogram.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { compileOverrides, type MetricGroup, TagExpressions } from "./istio-overrides.ts";
import type { IstioSeriesDump } from "./istio-series.ts";
import { type BoundsOf, istioScope } from "./stats-view.ts";

/** One side of a call; "" where nothing is known, which is shown as `unknown`. */
export interface IstioPeer {
	readonly workload: string;
	readonly namespace: string;
	readonly canonicalService: string;
	readonly canonicalRevision: string;
	/** SPIFFE id, `spiffe://…`. */
	readonly principal: string;
	readonly app: string;
	readonly version: string;
	readonly cluster: string;
}

export const unknownPeer: IstioPeer = {
	workload: "",
	namespace: "",
	canonicalService: "",
	canonicalRevision: "",
	principal: "",
	app: "",
	version: "",
	cluster: "",
};

/** Everything that stays the same for the requests between one peer and one service. */
export interface IstioPair {
	readonly reporter: "source" | "destination" | "waypoint";
	readonly source: IstioPeer;
	readonly destination: IstioPeer;
	readonly service: { readonly host: string; readonly name: string; readonly namespace: string };
	/** What the destination saw; a source cannot know and says `unknown`. */
	readonly securityPolicy: "mutual_tls" | "none" | "unknown";
}

/** Make one `forPair` per connection and upstream, keep it there, and record into it: no label is built per request. */
export interface IstioMetrics {
	forPair(pair: IstioPair): IstioRecorder;
	/** What a request, or a connection, adds to its labels by expressions: `tags` of the recorders. */
	tagsOf(info: StreamInfo): string;
	dump(): readonly IstioSeriesDump[];
	reset(): void;
	/** Series that were refused because there were too many; what they counted went into one series of `unknown`s. */
	readonly overflows: number;
}

export interface IstioRecorder {
	/** `grpcStatus` "" for plain HTTP. Sizes are of bodies, `flags` the bits of `response-flags.ts`. */
	http(code: number, grpcStatus: string, flags: number, durationMs: number, requestBytes: number, responseBytes: number, tags: string): void;
	tcpOpened(tags: string): void;
	/** What went by since the last report; call it from time to time for long connections. */
	tcpBytes(sent: number, received: number, tags: string): void;
	tcpClosed(flags: number, tags: string): void;
}

const httpMetrics = ["requests_total", "request_duration_milliseconds", "request_bytes", "response_bytes"] as const;
const tcpMetrics = ["tcp_connections_opened_total", "tcp_connections_closed_total", "tcp_sent_bytes_total", "tcp_received_bytes_total"] as const;
const defaultSeriesMax = 10_000;

type Label = readonly [string, string];

interface Series {
	readonly labels: readonly Label[];
	/** Values of the expressions among the tags. */
	readonly tags: readonly string[];
	/** Names of the HTTP metrics, or of the TCP ones, that an override has not dropped. */
	readonly groups: readonly MetricGroup[];
	readonly isHttp: boolean;
	/** requests_total, or opened, closed, sent, received. */
	readonly counts: Float64Array;
	/** Duration, request size, response size: for each the buckets, then the sum. */
	readonly histograms: readonly Float64Array[];
	/** Of each of them. */
	readonly bounds: readonly (readonly number[])[];
}

/** `errors` names the overrides that cannot be kept. */
export function createIstioMetrics(
	stats: IstioStats,
	node: NodeInfo,
	seriesMax = defaultSeriesMax,
	boundsOf: BoundsOf = () => defaultBounds,
): { readonly value: IstioMetrics; readonly errors: readonly string[] } {
	const errors: string[] = [];
	const expressions = new TagExpressions();
	const compile = (metrics: readonly string[]) => compileOverrides(stats, metrics, node, expressions, errors);
	const bounds = httpMetrics.slice(1).map((metric) => boundsOf(`${istioScope}istio_${metric}`));
	return { value: new SeriesTable({ http: compile(httpMetrics), tcp: compile(tcpMetrics) }, expressions, seriesMax, bounds), errors };
}

class SeriesTable implements IstioMetrics {
	overflows = 0;
	readonly #groups: { readonly http: readonly MetricGroup[]; readonly tcp: readonly MetricGroup[] };
	readonly #expressions: TagExpressions;
	readonly #seriesMax: number;
	readonly #bounds: Series["bounds"];
	readonly #series = new Map<string, Series>();

	constructor(
		groups: { readonly http: readonly MetricGroup[]; readonly tcp: readonly MetricGroup[] },
		expressions: TagExpressions,
		seriesMax: number,
		bounds: Series["bounds"],
	) {
		this.#groups = groups;
		this.#expressions = expressions;
		this.#bounds = bounds;
		this.#seriesMax = seriesMax;
	}

	forPair(pair: IstioPair): IstioRecorder {
		return new PairRecorder(pair, (isHttp, labels, tags) => this.#seriesOf(isHttp, labels, tags));
	}

	tagsOf(info: StreamInfo): string {
		return this.#expressions.evaluate(info);
	}

	#seriesOf(isHttp: boolean, labels: readonly Label[], tags: string): Series {
		const key = `${isHttp ? "h" : "t"}${labels.map(([, value]) => value).join("\0")}\n${tags}`;
		const known = this.#series.get(key);
		if (known) return known;
		// One place is kept for the series of everything that came too late.
		if (this.#series.size >= this.#seriesMax - 1 && !labels.every(([, value]) => value === "unknown")) {
			this.overflows++;
			return this.#seriesOf(
				isHttp,
				labels.map(([name]) => [name, "unknown"] as const),
				this.#expressions.unknown,
			);
		}
		const fresh: Series = {
			labels,
			tags: this.#expressions.split(tags),
			groups: isHttp ? this.#groups.http : this.#groups.tcp,
			isHttp,
			counts: new Float64Array(4),
			histograms: isHttp ? this.#bounds.map((bounds) => new Float64Array(bounds.length + 2)) : [],
			bounds: this.#bounds,
		};
		this.#series.set(key, fresh);
		return fresh;
	}

	dump(): readonly IstioSeriesDump[] {
		return Array.from(this.#series.values()).flatMap((series) =>
			series.groups.map((group) => ({
				labels: group.change(series.labels, series.tags),
				...(series.isHttp ? dumpHttp(series, group) : dumpTcp(series, group)),
			})),
		);
	}

	reset(): void {
		for (const series of this.#series.values()) {
			series.counts.fill(0);
			for (const histogram of series.histograms) histogram.fill(0);
		}
	}
}

function dumpHttp({ counts, histograms, bounds }: Series, group: MetricGroup): Pick<IstioSeriesDump, "counters" | "histograms"> {
	const [total, ...distributions] = httpMetrics;
	return {
		counters: group.metrics.has(total) ? [[total, counts[0] ?? 0]] : [],
		histograms: distributions.flatMap((metric, i) => {
			const values = [...(histograms[i] ?? [])];
			return group.metrics.has(metric) ? [{ metric, buckets: values.slice(0, -1), sum: values.at(-1) ?? 0, ...boundsToSend(bounds[i]) }] : [];
		}),
	};
}

const boundsToSend = (bounds: readonly number[] | undefined) => (bounds === undefined || bounds === defaultBounds ? {} : { bounds });

function dumpTcp({ counts }: Series, group: MetricGroup): Pick<IstioSeriesDump, "counters" | "histograms"> {
	return { counters: tcpMetrics.flatMap((metric, i) => (group.metrics.has(metric) ? [[metric, counts[i] ?? 0] as const] : [])), histograms: [] };
}

class PairRecorder implements IstioRecorder {
	readonly #pair: IstioPair;
	readonly #seriesOf: (isHttp: boolean, labels: readonly Label[], tags: string) => Series;
	#last: Series | undefined;
	#lastCode = -1;
	#lastGrpc = "";
	#lastFlags = 0;
	#lastTags = "";
	#tcp: Series | undefined;
	#tcpTags = "";

	constructor(pair: IstioPair, seriesOf: (isHttp: boolean, labels: readonly Label[], tags: string) => Series) {
		this.#pair = pair;
		this.#seriesOf = seriesOf;
	}

	http(code: number, grpcStatus: string, flags: number, durationMs: number, requestBytes: number, responseBytes: number, tags: string): void {
		let series = this.#last;
		if (series === undefined || code !== this.#lastCode || flags !== this.#lastFlags || grpcStatus !== this.#lastGrpc || tags !== this.#lastTags) {
			series = this.#seriesOf(true, buildLabels(this.#pair, grpcStatus === "" ? "http" : "grpc", { code: String(code), grpcStatus }, flags), tags);
			this.#last = series;
			this.#lastCode = code;
			this.#lastGrpc = grpcStatus;
			this.#lastFlags = flags;
			this.#lastTags = tags;
		}
		series.counts[0] = (series.counts[0] as number) + 1;
		observe(series, 0, durationMs);
		observe(series, 1, requestBytes);
		observe(series, 2, responseBytes);
	}

	tcpOpened(tags: string): void {
		this.#add(this.#tcpSeries(tags), 0, 1);
	}

	tcpBytes(sent: number, received: number, tags: string): void {
		const series = this.#tcpSeries(tags);
		this.#add(series, 2, sent);
		this.#add(series, 3, received);
	}

	#tcpSeries(tags: string): Series {
		if (this.#tcp === undefined || this.#tcpTags !== tags) this.#tcp = this.#seriesOf(false, buildLabels(this.#pair, "tcp", undefined, 0), tags);
		this.#tcpTags = tags;
		return this.#tcp;
	}

	tcpClosed(flags: number, tags: string): void {
		this.#add(this.#seriesOf(false, buildLabels(this.#pair, "tcp", undefined, flags), tags), 1, 1);
	}

	#add(series: Series, index: number, by: number): void {
		series.counts[index] = (series.counts[index] as number) + by;
	}
}

function observe(series: Series, which: number, value: number): void {
	const histogram = series.histograms[which] as Float64Array;
	const bounds = series.bounds[which] as readonly number[];
	let bucket = 0;
	while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
	histogram[bucket] = (histogram[bucket] as number) + 1;
	const sum = histogram.length - 1;
	histogram[sum] = (histogram[sum] as number) + value;
}

/** Istio's labels in Istio's order; TCP has no codes. */
function buildLabels(
	pair: IstioPair,
	protocol: string,
	result: { readonly code: string; readonly grpcStatus: string } | undefined,
	flags: number,
): readonly Label[] {
	const { source, destination, service } = pair;
	const labels: Label[] = [
		["reporter", pair.reporter],
		["source_workload", source.workload],
		["source_canonical_service", source.canonicalService],
		["source_canonical_revision", source.canonicalRevision || "latest"],
		["source_workload_namespace", source.namespace],
		["source_principal", source.principal],
		["source_app", source.app],
		["source_version", source.version],
		["source_cluster", source.cluster],
		["destination_workload", destination.workload],
		["destination_workload_namespace", destination.namespace],
		["destination_principal", destination.principal],
		["destination_app", destination.app],
		["destination_version", destination.version],
		["destination_service", service.host],
		["destination_canonical_service", destination.canonicalService],
		["destination_canonical_revision", destination.canonicalRevision || "latest"],
		["destination_service_name", service.name],
		["destination_service_namespace", service.namespace],
		["destination_cluster", destination.cluster],
		["request_protocol", protocol],
	];
	if (result) labels.push(["response_code", result.code]);
	const known = labels.map(([name, value]) => [name, value === "" ? "unknown" : value] as const);
	// An empty status is what dashboards expect of plain HTTP.
	const grpc: readonly Label[] = result ? [["grpc_response_status", result.grpcStatus]] : [];
	return [...known, ...grpc, ["response_flags", formatResponseFlags(flags, result === undefined)], ["connection_security_policy", pair.securityPolicy]];
}

/** What this proxy knows of its own workload: its node metadata, as the injector wrote it. */
export function peerOfNode(node: NodeInfo, principal: string): IstioPeer {
	const { metadata } = node;
	const labels = metadata["LABELS"];
	const text = (value: unknown) => (typeof value === "string" ? value : "");
	const label = (name: string) =>
		typeof labels === "object" && labels !== null && Object.hasOwn(labels, name) ? text((labels as Readonly<Record<string, unknown>>)[name]) : "";
	const app = label("app");
	return {
		workload: text(metadata["WORKLOAD_NAME"]),
		namespace: text(metadata["NAMESPACE"]),
		canonicalService: label("service.istio.io/canonical-name") || app,
		canonicalRevision: label("service.istio.io/canonical-revision") || label("version"),
		principal,
		app,
		version: label("version"),
		cluster: text(metadata["CLUSTER_ID"]),
	};
}

/** An endpoint's `istio.workload` metadata: `name;namespace;canonical name;canonical revision;cluster`. */
export function peerOfEndpoint(workload: string | undefined, principal: string): IstioPeer {
	if (workload === undefined) return { ...unknownPeer, principal };
	const [name = "", namespace = "", canonicalService = "", canonicalRevision = "", cluster = ""] = workload.split(";");
	return { ...unknownPeer, workload: name, namespace, canonicalService, canonicalRevision, cluster, principal };
}

/** A peer known only by its certificate, `spiffe://trust-domain/ns/NAMESPACE/sa/ACCOUNT`: at least its namespace. */
export function peerOfPrincipal(principal: string): IstioPeer {
	return { ...unknownPeer, principal, namespace: /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\//.exec(principal)?.[1] ?? "" };
}
