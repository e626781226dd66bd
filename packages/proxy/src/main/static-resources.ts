import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { Secret as SecretMessage } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";
import type { Secret } from "../config/tls.ts";
import { type ResourceRecords, staticRecord } from "./resource-records.ts";

/** What the bootstrap says, as one change. `own`: secrets that this process has itself. */
export function staticChange(config: BootstrapConfig, own: readonly Secret[]) {
	const all = <T>(resources: readonly { readonly value: T }[]) => ({ upsert: resources.map(({ value }) => value), remove: [] });
	return {
		listeners: all(config.listeners),
		clusters: all(config.clusters),
		secrets: { upsert: [...config.secrets.map(({ value }) => value), ...own], remove: [] },
	};
}

/** For `/config_dump`. */
export function recordStatic(records: ResourceRecords, config: BootstrapConfig, nowMs: number): void {
	for (const { message } of config.listeners) records.set("lds", staticRecord("lds", message.name, Listener.encode(message).finish(), nowMs));
	for (const { message } of config.clusters) records.set("cds", staticRecord("cds", message.name, Cluster.encode(message).finish(), nowMs));
	for (const { message } of config.secrets) records.set("sds", staticRecord("sds", message.name, SecretMessage.encode(message).finish(), nowMs));
}
