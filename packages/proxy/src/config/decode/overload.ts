import type { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import type {
	OverloadAction as ActionMessage,
	OverloadManager,
	ResourceMonitor as MonitorMessage,
	ScaleTimersOverloadActionConfig,
	LoadShedPoint as PointMessage,
	Trigger,
} from "@weft/xds/generated/envoy/config/overload/v3/overload.ts";
import type { DownstreamConnectionsConfig } from "@weft/xds/generated/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.ts";
import type { FixedHeapConfig } from "@weft/xds/generated/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.ts";
import type { InjectedResourceConfig } from "@weft/xds/generated/envoy/extensions/resource_monitors/injected_resource/v3/injected_resource.ts";
import {
	type LoadShedPoint,
	loadShedPoints,
	type OverloadAction,
	overloadActions,
	type OverloadConfig,
	type OverloadTrigger,
	type ResourceMonitor,
	type ScaledTimer,
} from "../overload.ts";
import { openAny } from "./any.ts";
import { type At, durationMs, durationMsOr, onlySupports, report, under } from "./issues.ts";

const refreshMsDefault = 1_000;
const typePrefix = "envoy.extensions.resource_monitors";
const actionPrefix = "envoy.overload_actions.";
const pointPrefix = "envoy.load_shed_points.";

export function decodeOverload(at: At, { overloadManager }: Bootstrap): OverloadConfig | undefined {
	if (overloadManager === undefined) return undefined;
	onlySupports(at, "envoy.config.overload.v3.OverloadManager", overloadManager, ["refreshInterval", "resourceMonitors", "actions", "loadshedPoints"]);
	const monitors = overloadManager.resourceMonitors.flatMap((monitor, i) => decodeMonitor(under(at, `resourceMonitors[${i}]`), monitor) ?? []);
	reportTwice(at, monitors, "Duplicate resource monitor");
	const resources = new Set(monitors.map(({ name }) => name));
	const actions = decodeActions(at, overloadManager, resources);
	const shedPoints = overloadManager.loadshedPoints.flatMap((point, i) => decodePoint(under(at, `loadshedPoints[${i}]`), point, resources) ?? []);
	reportTwice(at, shedPoints, "Duplicate loadshed point");
	const connections = monitors.find((monitor) => monitor.kind === "connections");
	return {
		refreshMs: durationMsOr(overloadManager.refreshInterval, refreshMsDefault) || refreshMsDefault,
		monitors,
		actions,
		shedPoints,
		connectionsMax: connections?.kind === "connections" ? connections.connectionsMax : undefined,
	};
}

function reportTwice(at: At, named: readonly { readonly name: string }[], what: string): void {
	const seen = new Set<string>();
	for (const { name } of named) {
		if (seen.has(name)) report(at, `${what} ${name}`);
		seen.add(name);
	}
}

function decodeMonitor(at: At, { name, typedConfig }: MonitorMessage): ResourceMonitor | undefined {
	const opened = openAny(at, typedConfig, `resource monitor ${name}`);
	switch (opened?.typeName) {
		case undefined:
			return undefined;
		case `${typePrefix}.fixed_heap.v3.FixedHeapConfig`:
			return { kind: "fixedHeap", name, bytesMax: Number((opened.message as FixedHeapConfig).maxHeapSizeBytes) };
		case `${typePrefix}.injected_resource.v3.InjectedResourceConfig`:
			return { kind: "injected", name, path: (opened.message as InjectedResourceConfig).filename };
		case `${typePrefix}.downstream_connections.v3.DownstreamConnectionsConfig`:
			return { kind: "connections", name, connectionsMax: Number((opened.message as DownstreamConnectionsConfig).maxActiveDownstreamConnections) };
	}
	report(at, `resource monitor ${name} of type ${opened?.typeName} is not implemented`);
	return undefined;
}

function decodeActions(at: At, { actions }: OverloadManager, resources: ReadonlySet<string>): readonly OverloadAction[] {
	const decoded = actions.flatMap((action, i) => decodeAction(under(at, `actions[${i}]`), action, resources) ?? []);
	reportTwice(at, decoded, "Duplicate overload action");
	return decoded;
}

function decodeAction(at: At, { name: fullName, triggers, typedConfig }: ActionMessage, resources: ReadonlySet<string>): OverloadAction | undefined {
	const name = fullName.startsWith(actionPrefix) ? overloadActions.find((known) => `${actionPrefix}${known}` === fullName) : undefined;
	if (name === undefined) {
		report(at, `overload action ${fullName} is not implemented`);
		return undefined;
	}
	const timers = name === "reduce_timeouts" ? decodeTimers(at, typedConfig) : [];
	if (name !== "reduce_timeouts" && typedConfig !== undefined) report(at, `Overload action "${fullName}" has an unexpected value for the typed_config field`);
	return { name, triggers: decodeTriggers(at, triggers, `overload action ${fullName}`, resources), timers };
}

function decodePoint(at: At, { name: fullName, triggers }: PointMessage, resources: ReadonlySet<string>): LoadShedPoint | undefined {
	const name = loadShedPoints.find((known) => `${pointPrefix}${known}` === fullName);
	if (name === undefined) {
		report(at, `load shed point ${fullName} is not implemented`);
		return undefined;
	}
	return { name, triggers: decodeTriggers(at, triggers, `loadshedpoint ${fullName}`, resources) };
}

function decodeTriggers(at: At, triggers: readonly Trigger[], of: string, resources: ReadonlySet<string>): readonly OverloadTrigger[] {
	for (const { name } of triggers) if (!resources.has(name)) report(at, `Unknown trigger resource ${name} for ${of}`);
	return triggers.map((trigger, i) => decodeTrigger(under(at, `triggers[${i}]`), trigger, of));
}

function decodeTrigger(at: At, { name: resource, threshold, scaled }: Trigger, of: string): OverloadTrigger {
	if (threshold !== undefined) return { resource, scaling: threshold.value, saturation: threshold.value };
	const { scalingThreshold: scaling = 0, saturationThreshold: saturation = 0 } = scaled ?? {};
	if (scaled === undefined) report(at, `${of}: unknown trigger type`);
	else if (scaling >= saturation) report(at, "scaling_threshold must be less than saturation_threshold");
	return { resource, scaling, saturation };
}

const timerKinds = [undefined, "connectionIdle", "streamIdle", "transportSocketConnect"] as const;

function decodeTimers(at: At, typedConfig: ActionMessage["typedConfig"]): readonly ScaledTimer[] {
	const opened = openAny(at, typedConfig, "overload action reduce_timeouts");
	if (opened === undefined) return [];
	const { timerScaleFactors } = opened.message as ScaleTimersOverloadActionConfig;
	return timerScaleFactors.flatMap(({ timer: number, minTimeout, minScale }, i): readonly ScaledTimer[] => {
		const timer = timerKinds[number];
		if (timer === undefined) report(under(at, `timerScaleFactors[${i}]`), `timer ${number} is not implemented`);
		if (timer === undefined) return [];
		return [minTimeout === undefined ? { timer, minShare: (minScale?.value ?? 0) / 100 } : { timer, minMs: durationMs(minTimeout) ?? 0 }];
	});
}
