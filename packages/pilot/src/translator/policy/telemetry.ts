import type {
	ConfigObject,
	MetricName,
	MetricsOverride,
	TagOverride,
	TelemetryAccessLogging,
	TelemetryMetrics,
	TelemetryTracing,
	WorkloadMode,
} from "@weft/api";
import { metricNames } from "@weft/api";
import type { PolicyIndex } from "../../model/policies.ts";
import { policiesFor, selectsAll } from "../../model/policies.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";

// What the Telemetry objects of a workload come to. https://istio.io/latest/docs/reference/config/telemetry/

type Telemetry = ConfigObject<"Telemetry">;

/** The side of a connection that a proxy stands on. */
export type Side = "CLIENT" | "SERVER";

/**
 * The mesh's, the namespace's, then those that select the workload; the later ones say more. Of several for the whole mesh or namespace
 * the oldest counts; of those with a selector all do.
 */
export function telemetriesFor(index: PolicyIndex<"Telemetry">, node: ProxyNode): readonly Telemetry[] {
	const found = policiesFor(index, node);
	const whole = (namespace: string) => found.find((telemetry) => telemetry.metadata.namespace === namespace && selectsAll(telemetry));
	const mesh = whole(index.rootNamespace);
	const namespace = node.namespace === index.rootNamespace ? undefined : whole(node.namespace);
	const workload = found.filter((telemetry) => telemetry.metadata.namespace === node.namespace && !selectsAll(telemetry));
	return [mesh, namespace, ...workload].filter((telemetry) => telemetry !== undefined);
}

const sideMatches = (mode: WorkloadMode | undefined, side: Side): boolean => mode === undefined || mode === "CLIENT_AND_SERVER" || mode === side;

const names = (providers: readonly { readonly name: string }[] | undefined): readonly string[] => (providers ?? []).map(({ name }) => name);

/** What one provider logs; `false`: nothing, and neither does what the mesh config says. */
export type LogPlan = { readonly filter: string | undefined } | false;

/** By provider. Empty where neither a Telemetry nor a default provider says anything: then `accessLogFile` holds. */
export function mergeAccessLogging(telemetries: readonly Telemetry[], defaults: readonly string[], side: Side): ReadonlyMap<string, LogPlan> {
	const levels = telemetries.map(({ spec }) => spec.accessLogging ?? []).filter((level) => level.length > 0);
	if (levels.length === 0) return new Map(defaults.map((name) => [name, { filter: undefined }]));
	const inScope = providersInScope(levels, defaults, side);
	const filters = new Map<string, string | undefined>();
	for (const entry of levels.flat()) {
		if (sideMatches(entry.match?.mode, side)) for (const name of names(entry.providers)) filters.set(name, entry.filter?.expression);
	}
	const plans = new Map<string, LogPlan>();
	let inherited = defaults;
	for (const entry of levels.flat()) {
		const own = names(entry.providers);
		inherited = own.length > 0 ? own : inherited;
		if (!sideMatches(entry.match?.mode, side)) continue;
		for (const name of inherited) {
			if (inScope.has(name))
				plans.set(name, entry.disabled ? false : { filter: filters.get(name) ?? (own.length === 0 ? entry.filter?.expression : undefined) });
		}
	}
	return plans;
}

/** A level that names providers replaces those of the levels above. */
function providersInScope(levels: readonly (readonly TelemetryAccessLogging[])[], defaults: readonly string[], side: Side): ReadonlySet<string> {
	let inScope: readonly string[] = defaults;
	for (const level of levels) {
		const own = level.filter(({ match }) => sideMatches(match?.mode, side)).flatMap(({ providers }) => names(providers));
		if (own.length > 0) inScope = own;
	}
	return new Set(inScope);
}

export interface TracingPlan {
	readonly provider: string | undefined;
	readonly disabled: boolean;
	/** Percent; undefined: what the proxy's own configuration says. */
	readonly sampling: number | undefined;
	readonly customTags: TelemetryTracing["customTags"];
	readonly useRequestId: boolean;
	readonly istioTags: boolean;
	readonly contextPropagation: boolean;
}

/** Undefined where nobody speaks of tracing: then the proxy's own configuration holds. */
export function mergeTracing(telemetries: readonly Telemetry[], defaults: readonly string[], side: Side): TracingPlan | undefined {
	const entries = telemetries.flatMap(({ spec }) => spec.tracing ?? []);
	if (entries.length === 0 && defaults.length === 0) return undefined;
	let plan: TracingPlan = {
		provider: defaults[0],
		disabled: false,
		sampling: undefined,
		customTags: undefined,
		useRequestId: true,
		istioTags: true,
		contextPropagation: true,
	};
	for (const entry of entries) {
		if (!sideMatches(entry.match?.mode, side)) continue;
		plan = {
			provider: entry.providers?.[0]?.name ?? plan.provider,
			disabled: entry.disableSpanReporting ?? plan.disabled,
			sampling: entry.randomSamplingPercentage ?? plan.sampling,
			customTags: entry.customTags ?? plan.customTags,
			useRequestId: entry.useRequestIdForTraceSampling ?? plan.useRequestId,
			istioTags: entry.enableIstioTags ?? plan.istioTags,
			contextPropagation: entry.disableContextPropagation === undefined ? plan.contextPropagation : !entry.disableContextPropagation,
		};
	}
	return plan;
}

export interface MetricPlan {
	/** Istio's name (`REQUEST_COUNT`), or that of a metric of the user's own. */
	readonly metric: string;
	readonly disabled: boolean;
	readonly tags: Readonly<Record<string, TagOverride>>;
}

export interface MetricsPlan {
	/** Sorted by metric. */
	readonly overrides: readonly MetricPlan[];
	readonly reportingInterval: string | undefined;
}

const allMetrics: readonly MetricName[] = metricNames.filter((name) => name !== "ALL_METRICS");

/** What one provider measures so far: switched off as a whole or not, what is said of single metrics holds when it is switched on again. */
interface MetricsState {
	readonly off: boolean;
	readonly metrics: ReadonlyMap<string, MetricPlan>;
	readonly reportingInterval: string | undefined;
}

const unsaid: MetricsState = { off: false, metrics: new Map(), reportingInterval: undefined };

/** By provider; a provider of which all metrics are switched off is not there. */
export function mergeMetrics(telemetries: readonly Telemetry[], defaults: readonly string[], side: Side): ReadonlyMap<string, MetricsPlan> {
	const entries = telemetries.flatMap(({ spec }) => spec.metrics ?? []);
	if (entries.length === 0) return new Map(defaults.map((name) => [name, { overrides: [], reportingInterval: undefined }]));
	const inScope = new Set(entries.findLast(({ providers }) => providers?.length)?.providers?.map(({ name }) => name) ?? defaults);
	const states = new Map<string, MetricsState>();
	let inherited = defaults;
	for (const entry of entries) {
		const own = names(entry.providers);
		inherited = own.length > 0 ? own : inherited;
		for (const name of inherited) if (inScope.has(name)) states.set(name, mergeEntry(states.get(name) ?? unsaid, entry, side));
	}
	return new Map([...states].flatMap(([name, state]) => (state.off ? [] : [[name, planOf(state)] as const])));
}

function planOf({ metrics, reportingInterval }: MetricsState): MetricsPlan {
	return { overrides: [...metrics.values()].sort((a, b) => (a.metric < b.metric ? -1 : 1)), reportingInterval };
}

function mergeEntry(state: MetricsState, { overrides = [], reportingInterval }: TelemetryMetrics, side: Side): MetricsState {
	const merged = overrides.filter(({ match }) => sideMatches(match?.mode, side)).reduce(mergeOverride, state);
	return { ...merged, reportingInterval: reportingInterval ?? state.reportingInterval };
}

function mergeOverride(state: MetricsState, override: MetricsOverride): MetricsState {
	if (meansAll(override) && override.disabled) return { ...state, off: true };
	const metrics = new Map(state.metrics);
	for (const metric of metricsOf(override)) {
		const before = metrics.get(metric);
		const disabled = override.disabled ?? before?.disabled ?? false;
		metrics.set(metric, { metric, disabled, tags: { ...before?.tags, ...override.tagOverrides } });
	}
	return { ...state, off: false, metrics };
}

const meansAll = ({ match }: MetricsOverride): boolean => !match?.customMetric && (match?.metric === undefined || match.metric === "ALL_METRICS");

function metricsOf(override: MetricsOverride): readonly string[] {
	const { customMetric, metric } = override.match ?? {};
	if (customMetric) return [customMetric];
	return metric === undefined || meansAll(override) ? allMetrics : [metric];
}
