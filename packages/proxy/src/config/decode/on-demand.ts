import type { ConfigSource } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import type { OnDemandCds } from "@weft/xds/generated/envoy/extensions/filters/http/on_demand/v3/on_demand.ts";
import type { TcpProxy_OnDemand } from "@weft/xds/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import type { OnDemandClusters } from "../on-demand-clusters.ts";
import { type At, type Duration, durationMsOr, report, under } from "./issues.ts";

/** Envoy's, of an HTTP filter and of a TCP proxy. */
const timeoutMsDefault = { http: 5_000, tcp: 60_000 };

/** `odcds` of the on-demand filter; undefined: clusters are not asked for. */
export function decodeOnDemandCds(at: At, odcds: OnDemandCds | undefined): OnDemandClusters | undefined {
	return odcds && decodeClusters(under(at, "odcds"), "source", odcds.source, odcds, timeoutMsDefault.http);
}

/** `on_demand` of a TCP proxy. */
export function decodeTcpOnDemand(at: At, onDemand: TcpProxy_OnDemand | undefined): OnDemandClusters | undefined {
	// Without a source it asks nobody, as in Envoy.
	if (onDemand?.odcdsConfig === undefined) return undefined;
	return decodeClusters(under(at, "onDemand"), "odcdsConfig", onDemand.odcdsConfig, onDemand, timeoutMsDefault.tcp);
}

interface Locator {
	readonly resourcesLocator: string;
	readonly timeout: Duration | undefined;
}

function decodeClusters(at: At, field: string, source: ConfigSource | undefined, { resourcesLocator, timeout }: Locator, defaultMs: number): OnDemandClusters {
	if (source?.ads === undefined) report(under(at, field), "only ads is implemented");
	if (resourcesLocator !== "") report(under(at, "resourcesLocator"), "resources_locator (xdstp) is not implemented");
	return { timeoutMs: durationMsOr(timeout, defaultMs) };
}
