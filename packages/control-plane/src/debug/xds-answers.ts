import { status } from "@grpc/grpc-js";
import { typeUrls } from "@weft/xds";
import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { ClientConfig, ConfigStatus } from "@weft/xds/generated/envoy/service/status/v3/csds.ts";
import { type AdsServerOptions, type DebugAnswer, type Peer, RefusedError, type StreamState, type XdsClient } from "@weft/xds/server";
import { versionText } from "../http-context.ts";
import { configDump } from "./config-dump.ts";
import { type DebugContext, findClient, proxyName, visibleClients } from "./context.ts";
import { answerDebug, mayAsk } from "./pages.ts";

/** Also the type of the answer: what the page says, as it stands. */
const pageType = "istio.io/debug";

/**
 * What istioctl asks over ADS: `istio.io/debug` with one name, a page of /debug with its query (x internal-debug),
 * `istio.io/debug/syncz` (proxy-status), `istio.io/debug/config_dump` with one name POD.NS, and `istio.io/connections` (version).
 */
export function createDebugAnswers(context: DebugContext): NonNullable<AdsServerOptions["debug"]> {
	const { discovery, instance } = context;
	const identifier = JSON.stringify({
		Component: "istiod",
		ID: instance,
		Info: { version: versionText, revision: "", golang_version: "", status: "Clean", tag: "" },
	});
	const answer = (resources: DebugAnswer["resources"]): DebugAnswer => ({ resources, version: String(discovery.push.version), identifier });
	return ({ typeUrl, names, peer }) => {
		switch (typeUrl) {
			case pageType:
				return answer([pageOf(context, peer, names)]);
			case "istio.io/debug/syncz":
				return answer(visibleClients(context, namespaceOf(context, peer)).map((client) => clientConfig(context, client)));
			case "istio.io/debug/config_dump": {
				const [name = ""] = names;
				const client = names.length === 1 && name !== "" ? findClient(visibleClients(context, namespaceOf(context, peer)), name) : undefined;
				return answer(client ? configDump(context, client, false).map((resource) => ({ name: "", resource })) : []);
			}
			case "istio.io/connections":
				return answer(
					visibleClients(context, namespaceOf(context, peer)).map(({ node }) => ({
						name: node.id,
						resource: { typeUrl: "type.googleapis.com/envoy.config.core.v3.Node", value: Node.encode(node).finish() },
					})),
				);
			default:
				return undefined;
		}
	};
}

/** Whose proxies the caller may know of; undefined: all. */
function namespaceOf({ trustedNamespaces }: DebugContext, { spiffeIds }: Peer): string | undefined {
	if (spiffeIds === undefined) return undefined;
	const namespaces = spiffeIds.flatMap((id) => /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/[^/]+$/.exec(id)?.[1] ?? []);
	if (namespaces.some((namespace) => trustedNamespaces.has(namespace))) return undefined;
	const [namespace] = namespaces;
	if (namespace === undefined) throw new RefusedError(status.UNAUTHENTICATED, "debug questions need a token for audience istio-ca or a client certificate");
	return namespace;
}

/** istiod's rules, in its order: an identity, one question, and of other namespaces than the system's only about proxies of their own. */
function pageOf(context: DebugContext, peer: Peer, names: readonly string[]): DebugAnswer["resources"][number] {
	if (peer.spiffeIds === undefined) throw new RefusedError(status.UNAUTHENTICATED, "authentication required");
	const namespace = namespaceOf(context, peer);
	const [question] = names;
	if (question === undefined || names.length !== 1) throw new RefusedError(status.INVALID_ARGUMENT, "exactly one debug request is required");
	const at = question.indexOf("?");
	const [name, query] = at < 0 ? [question, ""] : [question.slice(0, at), question.slice(at + 1)];
	if (!mayAsk(context, namespace, name))
		throw new RefusedError(status.PERMISSION_DENIED, `the debug info is not available for current identity: "${peer.spiffeIds.join(", ")}"`);
	const { body } = answerDebug(context, namespace, name, new URLSearchParams(query));
	return { name: question, resource: { typeUrl: pageType, value: Buffer.from(body) } };
}

function clientConfig({ discovery, clusterId }: DebugContext, client: XdsClient): DebugAnswer["resources"][number] {
	const node = discovery.nodeOf(client);
	const id = proxyName(client);
	const config = ClientConfig.fromPartial({
		node: { id, metadata: { CLUSTER_ID: node.clusterId || clusterId, NAMESPACE: node.namespace, ISTIO_VERSION: node.istioVersion } },
		genericXdsConfigs: foldedStates(client.states())
			.map((state) => ({
				typeUrl: typeUrls[state.type],
				configStatus: statusOf(state),
				...(state.sentAtMs > 0 && { lastUpdated: timestamp(state.sentAtMs) }),
				...(state.nack && { errorState: { lastUpdateAttempt: timestamp(state.sentAtMs), details: state.nack.message } }),
			}))
			.sort((a, b) => (a.typeUrl < b.typeUrl ? -1 : 1)),
	});
	return { name: id, resource: { typeUrl: "type.googleapis.com/envoy.service.status.v3.ClientConfig", value: ClientConfig.encode(config).finish() } };
}

/** Virtual hosts that come one by one are a part of their tables: istioctl has no column for them. The table's state is the worse of the two. */
export function foldedStates(states: readonly StreamState[]): readonly StreamState[] {
	const hosts = states.find(({ type }) => type === "vhds");
	if (hosts === undefined) return states;
	const isWorse = statusOf(hosts) !== ConfigStatus.SYNCED && hosts.nonceSent !== "";
	return states
		.filter(({ type }) => type !== "vhds")
		.map((state) => {
			if (state.type !== "rds") return state;
			const worse = isWorse && statusOf(state) === ConfigStatus.SYNCED ? { ...hosts, type: state.type } : state;
			return { ...worse, sentAtMs: Math.max(state.sentAtMs, hosts.sentAtMs) };
		});
}

const timestamp = (ms: number) => ({ seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1_000_000 });

function statusOf({ nack, nonceSent, nonceAcked }: StreamState): ConfigStatus {
	if (nack) return ConfigStatus.ERROR;
	if (nonceSent === "") return ConfigStatus.NOT_SENT;
	return nonceAcked === nonceSent ? ConfigStatus.SYNCED : ConfigStatus.STALE;
}
