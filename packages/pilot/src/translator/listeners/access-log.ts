import type { MeshConfig } from "@weft/api";
import { ExpressionFilter } from "@weft/xds/generated/envoy/extensions/access_loggers/filters/cel/v3/cel.ts";
import type { ServicesByHost } from "../policy/provider-service.ts";
import { findProvider } from "../policy/providers.ts";
import type { LogPlan } from "../policy/telemetry.ts";
import { packed } from "../routes/values.ts";
import { meshFormat } from "./access-log-format.ts";
import { buildFileLogger, buildLogger } from "./access-log-providers.ts";

/** AccessLog entries: one for each request or connection, one for connections that no chain took. */
export interface AccessLogs {
	readonly traffic: readonly object[];
	readonly listener: readonly object[];
}

export interface AccessLogInput {
	readonly mesh: MeshConfig;
	readonly services: ServicesByHost;
	/** By provider; empty: `accessLogFile` of the mesh holds. */
	readonly plans: ReadonlyMap<string, LogPlan>;
}

/**
 * The logs of one side of a proxy: those of its Telemetry or of the default providers, by name, else that of `accessLogFile`. It holds too
 * where none of the providers can log, but not where one is switched off.
 */
export function buildAccessLogs({ mesh, services, plans }: AccessLogInput): AccessLogs {
	const loggers = [...plans].flatMap(([wanted, plan]) => {
		const provider = findProvider(mesh, wanted);
		const log = provider && buildLogger(provider, mesh, services);
		return log ? [{ name: provider.name, plan, log }] : [];
	});
	const named = loggers
		.sort((a, b) => (a.name < b.name ? -1 : 1))
		.flatMap(({ plan, log }) => (plan ? [{ log, filters: plan.filter ? [celFilter(plan.filter)] : [] }] : []));
	const logs = loggers.length > 0 ? named : mesh.accessLogFile ? [{ log: buildFileLogger(mesh.accessLogFile, meshFormat(mesh)), filters: [] }] : [];
	return {
		traffic: logs.map(({ log, filters }) => withFilters(log, filters)),
		// NR: the listener itself logs only what ended before any filter chain could.
		listener: mesh.disableEnvoyListenerLog ? [] : logs.map(({ log, filters }) => withFilters(log, [noRoute, ...filters])),
	};
}

const noRoute = { responseFlagFilter: { flags: ["NR"] } };

function withFilters(log: object, filters: readonly object[]): object {
	const [only] = filters;
	if (only === undefined) return log;
	return { ...log, filter: filters.length === 1 ? only : { andFilter: { filters } } };
}

function celFilter(expression: string): object {
	const typeName = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter";
	const typedConfig = packed(typeName, ExpressionFilter, { expression });
	return { extensionFilter: { name: "envoy.access_loggers.extension_filters.cel", typedConfig } };
}
