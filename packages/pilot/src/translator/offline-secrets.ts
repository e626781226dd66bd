import { type Json, stripTypeUrl, toJson, typeUrls } from "@weft/xds";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { parseCredentialName } from "./credential-name.ts";
import type { OfflineResources } from "./offline.ts";
import { buildSecret, type SecretRights } from "./secrets.ts";
import { contextOf } from "./translator.ts";

/** Offline, whoever has the files has what is in them. */
const everything: SecretRights = { isAuthenticated: true, mayReadSecrets: () => true };

export interface OfflineSecrets {
	readonly sds: readonly Json[];
	/** Why a proxy would wait for the others. */
	readonly problems: readonly string[];
}

/** The secrets that these listeners and clusters ask the control plane for, sorted by name. A workload's own come from its agent. */
export function offlineSecrets(push: PushSnapshot, node: ProxyNode, { lds, cds }: OfflineResources): OfflineSecrets {
	const names = new Set<string>();
	for (const resource of [...lds, ...cds]) collectNames(resource, names);
	const context = contextOf(push, node);
	const outcomes = [...names]
		.sort()
		.filter((name) => parseCredentialName(name, node.namespace) !== undefined)
		.map((name) => buildSecret(context, everything, name));
	return {
		sds: outcomes.flatMap((outcome) => ("value" in outcome ? [toJson(stripTypeUrl(typeUrls.sds), Secret.decode(outcome.value.bytes))] : [])),
		problems: outcomes.flatMap((outcome) => ("problem" in outcome ? [outcome.problem] : [])),
	};
}

/** Names that have a source beside them (`SdsSecretConfig`), wherever they stand. */
function collectNames(value: Json, into: Set<string>): void {
	if (typeof value !== "object" || value === null) return;
	if (!Array.isArray(value) && "sdsConfig" in value && typeof value["name"] === "string") into.add(value["name"]);
	for (const inner of Object.values(value)) if (inner !== undefined) collectNames(inner, into);
}
