import { type Diagnostic, type Kind, kindInfo, kindNames } from "@weft/api";
import { sources, type Store } from "@weft/galley";
import { parameterKeys } from "@weft/injector";
import { type KubeClient, type KubeObject, type ObservedObject, type ResourceWatch, watchKind } from "@weft/kube";
import type { Clock, Logger } from "@weft/runtime";
import type { ObservedKinds } from "./status-writer.ts";
import { gatewayApiStatusKinds, istioStatusKinds } from "./wanted-status.ts";

export interface KubernetesSourceOptions {
	readonly client: KubeClient;
	readonly store: Store;
	/** Configuration that is labelled for another revision is another control plane's. */
	readonly revision: string;
	/** Where Secrets are read; undefined: everywhere. */
	readonly secretNamespaces: readonly string[] | undefined;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

export interface KubernetesSource extends ObservedKinds {
	/** Kinds that were not read yet, and without which proxies would be sent half a mesh. */
	waitingFor(): readonly string[];
	/** Of objects in the cluster that are not valid. */
	diagnostics(): readonly Diagnostic[];
}

/** Without these there is no mesh. Workloads' owners are not read: a pod names them itself. */
const coreKinds = ["Namespace", "Node", "Service", "EndpointSlice", "Pod", "ServiceAccount"] as const satisfies readonly Kind[];

const routingGroups: ReadonlySet<string> = new Set(["gateway.networking.k8s.io", "networking.k8s.io"]);

/** Kinds that may be missing: those with a CRD, Istio's and the Gateway API's; and Ingress. */
const isConfiguration = (kind: Kind): boolean => kindInfo(kind).istio || routingGroups.has(kindInfo(kind).group);

/** Neither releases of Helm nor credentials of pods and image registries are the mesh's business. */
const secretSelector = [
	"helm.sh/release.v1",
	"kubernetes.io/service-account-token",
	"kubernetes.io/dockercfg",
	"kubernetes.io/dockerconfigjson",
	"bootstrap.kubernetes.io/token",
	"istio.io/ca-root",
]
	.map((type) => `type!=${type}`)
	.join(",");

/** Keys under which a Secret holds a gateway's certificate. https://istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress/#key-formats */
const certificateKeys: ReadonlySet<string> = new Set(["tls.crt", "tls.key", "ca.crt", "ca.crl", "cert", "key", "cacert", "crl", "tls.ocsp-staple"]);
const secretsMax = 50_000;

/** Everything of the cluster that the mesh is made of, in the same store as files are. */
export function startKubernetesSource(options: KubernetesSourceOptions): KubernetesSource {
	const { client, store, revision, secretNamespaces, clock, logger, signal } = options;
	const problems = new Map<string, readonly Diagnostic[]>();
	const watches: { readonly name: string; readonly isSettled: (watch: ResourceWatch) => boolean; readonly watch: ResourceWatch }[] = [];
	const observed = new Map<Kind, Map<string, ObservedObject>>([...gatewayApiStatusKinds, ...istioStatusKinds].map((kind) => [kind, new Map()]));
	let observedRevision = 0;
	const start = (kind: Kind, isSettled: (watch: ResourceWatch) => boolean, extra: Partial<Parameters<typeof watchKind>[2]> = {}) => {
		const name = extra.namespace === undefined ? kind : `${kind} of ${extra.namespace}`;
		let wasSettled = false;
		const seen = observed.get(kind);
		const watch = watchKind(client, kind, {
			...(seen && { observed: seen }),
			signal,
			clock,
			logger: logger.child("kube"),
			...extra,
			onChange({ upsert, remove, diagnostics }) {
				problems.set(name, diagnostics);
				if (seen) observedRevision++;
				store.apply({ source: sources.kubernetes, upsert, remove });
			},
		});
		watches.push({ name, watch, isSettled: () => (wasSettled ||= isSettled(watch)) });
	};
	for (const kind of coreKinds) start(kind, ({ state }) => state === "synced");
	for (const kind of kindNames.filter(isConfiguration))
		start(kind, ({ state }) => state === "synced" || state === "missing", { ignore: isOfAnother(revision) });
	// Authorities by which clients and backends are checked, and parameters of Gateways. Those that every namespace has from Kubernetes and from here are neither.
	start("ConfigMap", ({ state }) => state === "synced" || state === "forbidden", {
		fieldSelector: "metadata.name!=kube-root-ca.crt,metadata.name!=istio-ca-root-cert",
		objectsMax: secretsMax,
		ignore: (object) => !holdsCertificate(object) && !holdsParameters(object),
	});
	for (const namespace of secretNamespaces ?? [undefined]) {
		const scope = namespace === undefined ? {} : { namespace };
		// A gateway without its Secret closes that one host; a mesh does not wait for it.
		start("Secret", ({ state }) => state === "synced" || state === "forbidden", {
			...scope,
			fieldSelector: secretSelector,
			objectsMax: secretsMax,
			ignore: (object) => !holdsCertificate(object),
		});
	}
	return {
		waitingFor: () => watches.filter(({ isSettled, watch }) => !isSettled(watch)).map(({ name }) => name),
		diagnostics: () => [...problems.values()].flat(),
		observed: (kind) => observed.get(kind) ?? none,
		observedRevision: () => observedRevision,
	};
}

const none: ReadonlyMap<string, ObservedObject> = new Map();

/** https://istio.io/latest/docs/setup/upgrade/canary/: what has no label is everybody's. */
function isOfAnother(revision: string): (object: KubeObject) => boolean {
	return ({ metadata }) => {
		const label = metadata.labels?.["istio.io/rev"];
		return label !== undefined && label !== (revision || "default");
	};
}

const holdsCertificate = (object: KubeObject): boolean => hasKeyOf(object, certificateKeys);
const holdsParameters = (object: KubeObject): boolean => hasKeyOf(object, parameterKeys);

function hasKeyOf({ data }: KubeObject, keys: ReadonlySet<string>): boolean {
	return typeof data === "object" && data !== null && Object.keys(data).some((name) => keys.has(name));
}
