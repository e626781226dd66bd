import { apiVersionsOf, type ConfigObject, formatDiagnostic, type Kind, kindInfo, kindNames, objectKindOf } from "@weft/api";
import { type ProxyNode, telemetriesFor } from "@weft/pilot";
import { aboutProxy, type DebugHandler, type DebugRequest, jsonReply } from "./context.ts";

// What users wrote, and what became of it.

/** Istio's kinds and the Gateway API's, by name: what istiod keeps as configuration. Kubernetes' own (Secrets among them) are not shown. */
const configKinds: readonly Kind[] = kindNames.filter((kind) => kindInfo(kind).istio || kindInfo(kind).group === "gateway.networking.k8s.io").toSorted();

/** As Kubernetes would show it. */
export function kubernetesObject({ kind, apiVersion, metadata, spec }: ConfigObject): { readonly spec: unknown } & Readonly<Record<string, unknown>> {
	const { name, namespace, labels, annotations, creationTimestamp, resourceVersion, generation, uid, ownerReferences } = metadata;
	const isThere = (map: object) => Object.keys(map).length > 0;
	return {
		kind: objectKindOf(kind),
		apiVersion,
		metadata: {
			name,
			...(namespace !== "" && { namespace }),
			...(uid !== undefined && { uid }),
			...(resourceVersion !== undefined && { resourceVersion }),
			...(generation !== undefined && { generation }),
			...(creationTimestamp !== undefined && { creationTimestamp }),
			...(isThere(labels) && { labels }),
			...(isThere(annotations) && { annotations }),
			...(ownerReferences !== undefined && { ownerReferences }),
		},
		spec,
	};
}

/** `/debug/configz`. */
export const configz: DebugHandler = (request) => {
	const snapshot = request.context.store.snapshot();
	return jsonReply(
		request,
		configKinds.flatMap((kind) => snapshot.all(kind).map(kubernetesObject)),
	);
};

/** `/debug/resourcesz`: the kinds of `/debug/configz`. */
export const resourcesz: DebugHandler = (request) =>
	jsonReply(
		request,
		configKinds.map((kind) => {
			const [version = ""] = apiVersionsOf(kind).map((text) => text.slice(text.indexOf("/") + 1));
			return { group: kindInfo(kind).group, version, kind: objectKindOf(kind) };
		}),
	);

interface Policies {
	readonly rootNamespace: string;
	readonly byNamespace: ReadonlyMap<string, readonly ConfigObject[]>;
}

function byNamespace<T>({ byNamespace: policies }: Policies, show: (policy: ConfigObject) => T): Readonly<Record<string, readonly T[]>> {
	return Object.fromEntries([...policies].sort(([a], [b]) => (a < b ? -1 : 1)).map(([namespace, all]) => [namespace, all.map(show)]));
}

function authorizationJson({ context }: DebugRequest): object {
	const { authorization } = context.discovery.push.policies;
	const policies = byNamespace(authorization, ({ metadata: { name, namespace, annotations }, spec }) => ({ name, namespace, annotations, spec }));
	return { namespace_to_policies: policies, root_namespace: authorization.rootNamespace };
}

/** `/debug/authorizationz`. */
export const authorizationz: DebugHandler = (request) => jsonReply(request, { authorization_policies: authorizationJson(request) });

/** `/debug/telemetryz[?proxyID=POD.NS]`: every Telemetry, or those that hold for one proxy. */
export const telemetryz: DebugHandler = (request) => {
	const { telemetry } = request.context.discovery.push.policies;
	if ((request.query.get("proxyID") ?? "") !== "")
		return aboutProxy(request, (client) => jsonReply(request, telemetryOf(request, request.context.discovery.nodeOf(client))));
	const all = byNamespace(telemetry, ({ metadata: { name, namespace }, spec }) => ({ name, namespace, spec }));
	return jsonReply(request, { telemetries: { namespace_to_telemetries: all, root_namespace: telemetry.rootNamespace } });
};

type Telemetry = ConfigObject<"Telemetry">;
type Level = "Root" | "Namespace" | "Workload";

const levels: readonly Level[] = ["Root", "Namespace", "Workload"];

/** What holds for a proxy, by whom it was said to: the whole mesh, its namespace, or the workload alone. */
function telemetryOf({ context }: DebugRequest, node: ProxyNode): object {
	const { telemetry } = context.discovery.push.policies;
	const levelOf = ({ metadata, spec }: Telemetry): Level => {
		if (spec.selector !== undefined || spec.targetRef !== undefined || (spec.targetRefs ?? []).length > 0) return "Workload";
		return metadata.namespace === telemetry.rootNamespace ? "Root" : "Namespace";
	};
	const found = telemetriesFor(telemetry, node);
	const keys = (wanted: readonly Telemetry[]) =>
		Object.fromEntries(
			levels.map((level) => {
				const { name = "", namespace = "" } = wanted.find((one) => levelOf(one) === level)?.metadata ?? {};
				return [level, { Namespace: namespace, Name: name }];
			}),
		);
	return {
		...keys(found),
		Metrics: found.flatMap(({ spec }) => spec.metrics ?? []),
		Logging: found.filter(({ spec }) => (spec.accessLogging ?? []).length > 0).map((one) => ({ ...keys([one]), Logging: one.spec.accessLogging })),
		Tracing: found.flatMap(({ spec }) => spec.tracing ?? []),
	};
}

/** `/debug/mesh`: the mesh config in force, with its defaults. */
export const mesh: DebugHandler = (request) => jsonReply(request, request.context.discovery.push.mesh.config);

/** `/debug/pushcontext`. */
export const pushcontext: DebugHandler = (request) =>
	jsonReply(request, { AuthorizationPolicies: authorizationJson(request), NetworkGateways: gatewaysOf(request), UnresolvedGateways: null });

/** `/debug/networkz`: gateways to other networks. */
export const networkz: DebugHandler = (request) => jsonReply(request, gatewaysOf(request));

function gatewaysOf({ context }: DebugRequest): readonly object[] {
	const networks = Object.entries(context.discovery.push.mesh.networks?.gateways ?? {});
	return networks.flatMap(([Network, gateways]) =>
		gateways.map(({ address, port, clusterId }) => ({ Network, Cluster: clusterId ?? context.clusterId, Addr: address, Port: port, HBONEPort: 0 })),
	);
}

/** `/debug/push_status`: what is wrong with what users wrote, by code and object. */
export const pushStatus: DebugHandler = (request) => {
	const found: Record<string, Record<string, { readonly message: string }>> = {};
	for (const diagnostic of request.context.diagnostics()) {
		const { code, kind = "", namespace = "", name = "" } = diagnostic;
		const object = [kind, namespace, name].filter((part) => part !== "").join("/");
		const all = (found[code] ??= {});
		const key = object === "" ? `${diagnostic.file ?? ""}:${diagnostic.line ?? 0}` : object;
		const before = all[key]?.message;
		all[key] = { message: before === undefined ? formatDiagnostic(diagnostic) : `${before}\n${formatDiagnostic(diagnostic)}` };
	}
	return jsonReply(request, found);
};

/** `/debug/diagnostics`, Weft's own: the same with file, line and column. */
export const diagnostics: DebugHandler = (request) => jsonReply(request, request.context.diagnostics());
