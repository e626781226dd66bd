import { isDeepStrictEqual } from "node:util";
import type { ConfigObject } from "@weft/api";
import type { Store, StoreSnapshot } from "@weft/galley";
import { type GatewayFacts, type GatewayObjects, type GatewayToDeploy, managedValue, type ParameterSet } from "@weft/injector";
import { type KubeClient, type KubeObject, resourceOf, runLeaderElection, watchResource } from "@weft/kube";
import { type DeployedGateway, deployedGateways } from "@weft/pilot";
import { type Backoff, type Clock, createBackoff, type Logger } from "@weft/runtime";
import { applyGateway } from "./apply-gateway.ts";
import { keepGatewayClass } from "./gateway-class.ts";
import { holds } from "./merge-status.ts";
import { revisioned } from "./options.ts";

/** How Gateways become objects: the injector's, since their pods are proxies like all others. */
export interface GatewayBuilder<Settings> {
	buildGatewayObjects(gateway: GatewayToDeploy, settings: Settings, facts: GatewayFacts): GatewayObjects;
	/** Is this the name of the revision, or one of its tags? */
	isRevision(settings: Settings, name: string): boolean;
}

export interface GatewayDeploymentsOptions<Settings> {
	readonly client: KubeClient;
	readonly store: Store;
	readonly builder: GatewayBuilder<Settings>;
	/** As they are now, another object whenever they changed; undefined: nothing is deployed yet. */
	readonly settings: () => Settings | undefined;
	/** Of the control plane: its leases, and the parameters of whole classes, are there. */
	readonly namespace: string;
	readonly podName: string;
	readonly revision: string;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

const pollMs = 250;
/** A name that is taken may become free without a word to us. */
const foreignRetryMs = 60_000;
/** ConfigMaps with this label say more of all Gateways of a class. */
const classDefaultsLabel = "gateway.istio.io/defaults-for-class";
const revisionLabel = "istio.io/rev";

/** Deploys the Gateways of the Gateway API that name no Services of their own: one of all replicas of the revision. */
export function runGatewayDeployments<Settings>(options: GatewayDeploymentsOptions<Settings>): Promise<void> {
	const { client, namespace, podName, revision, clock, logger, signal } = options;
	const lead = async (leading: AbortSignal) => void (await Promise.all([deployGateways(options, leading), keepGatewayClass({ ...options, signal: leading })]));
	return runLeaderElection({ client, namespace, name: revisioned("istio-gateway-deployment", revision), identity: podName, clock, logger, signal, lead });
}

/** What is known of one Gateway. */
interface Known {
	/** What it is built from; while these are the same, so is what is built. */
	readonly inputs: readonly unknown[];
	readonly built: GatewayObjects;
	/** The cluster has it so. */
	isApplied: boolean;
	/** Of the Deployment: as it was applied, and as the watch has shown it last. Undefined: being applied. */
	deploymentGeneration: number | undefined;
	seenGeneration: number;
	/** Monotonic; not before. */
	retryMs: number;
	readonly backoff: Backoff;
	/** Each is said once. */
	said: string;
}

/** Until `signal` aborts. */
export async function deployGateways<Settings>(options: GatewayDeploymentsOptions<Settings>, signal: AbortSignal): Promise<void> {
	const { store, clock, settings } = options;
	/** By `namespace/name`; those of Gateways that are there. */
	const known = new Map<string, Known>();
	const changes = watchChanges(options, known, signal);
	let of: Settings | undefined;
	while (!signal.aborted) {
		const present = settings();
		if (present === undefined) {
			await clock.sleep(pollMs, signal);
			continue;
		}
		if (changes.take() || of !== present) {
			of = present;
			refresh(options, present, store.snapshot(), known);
		}
		for (const gateway of mine(options, present, store.snapshot())) {
			const entry = known.get(keyOf(gateway));
			if (entry && !entry.isApplied && clock.monotonicMs() >= entry.retryMs) await reconcile(options, gateway, entry, signal);
			if (signal.aborted) break;
		}
		await clock.sleep(pollMs, signal);
	}
	await changes.done;
}

const keyOf = ({ object: { metadata } }: DeployedGateway): string => `${metadata.namespace}/${metadata.name}`;

/** The Gateways of this revision: by their own label, else by their namespace's; without either they are the default revision's. */
function mine<Settings>({ builder }: GatewayDeploymentsOptions<Settings>, settings: Settings, snapshot: StoreSnapshot): readonly DeployedGateway[] {
	const deployed = deployedGateways({
		classes: snapshot.all("GatewayClass"),
		gateways: snapshot.all("KubernetesGateway"),
		listenerSets: snapshot.all("ListenerSet"),
		namespaces: snapshot.all("Namespace"),
	});
	return deployed.filter(({ object: { metadata } }) => {
		const namespace = snapshot.get("Namespace", "", metadata.namespace)?.metadata.labels[revisionLabel];
		return builder.isRevision(settings, metadata.labels[revisionLabel] ?? namespace ?? "default");
	});
}

/** Builds anew what is made of something that changed, and forgets what is gone. */
function refresh<Settings>(options: GatewayDeploymentsOptions<Settings>, settings: Settings, snapshot: StoreSnapshot, known: Map<string, Known>): void {
	const gateways = mine(options, settings, snapshot);
	const keys = new Set(gateways.map(keyOf));
	for (const key of known.keys()) if (!keys.has(key)) known.delete(key);
	for (const gateway of gateways) {
		const parameters = parametersOf(options, gateway.object, snapshot);
		const namespace = snapshot.get("Namespace", "", gateway.object.metadata.namespace);
		const inputs = [
			settings,
			gateway.object,
			gateway.deploymentName,
			JSON.stringify(gateway.listeners),
			namespace,
			...("message" in parameters ? [parameters.message] : parameters.map(({ object }) => object)),
		];
		const before = known.get(keyOf(gateway));
		if (before && before.inputs.length === inputs.length && inputs.every((input, i) => input === before.inputs[i])) continue;
		const labels = namespace?.metadata.labels;
		const facts = { namespace: { name: gateway.object.metadata.namespace, ...(labels && { labels }) } };
		const built: GatewayObjects =
			"message" in parameters
				? { kind: "error", message: parameters.message }
				: options.builder.buildGatewayObjects(toDeploy(gateway, parameters.map(parameterSet)), settings, facts);
		if (before && isDeepStrictEqual(before.built, built)) {
			known.set(keyOf(gateway), { ...before, inputs });
			continue;
		}
		const backoff = createBackoff({ minMs: 500, maxMs: 60_000 });
		known.set(keyOf(gateway), {
			inputs,
			built,
			isApplied: false,
			deploymentGeneration: undefined,
			seenGeneration: 0,
			retryMs: 0,
			backoff,
			said: before?.said ?? "",
		});
	}
}

type ConfigMap = ConfigObject<"ConfigMap">;
interface Parameters {
	readonly object: ConfigMap;
}

/** The ConfigMaps that say more of what is deployed, the least specific first; or which of them is missing. */
function parametersOf<Settings>(
	{ namespace: system }: GatewayDeploymentsOptions<Settings>,
	{ metadata, spec }: ConfigObject<"KubernetesGateway">,
	snapshot: StoreSnapshot,
): readonly Parameters[] | { readonly message: string } {
	const { gatewayClassName, infrastructure } = spec;
	const defaults = snapshot
		.all("ConfigMap")
		.filter((object) => object.metadata.namespace === system && object.metadata.labels[classDefaultsLabel] === gatewayClassName);
	const found: Parameters[] = defaults.map((object) => ({ object }));
	const ofClass = snapshot.get("GatewayClass", "", gatewayClassName)?.spec.parametersRef;
	for (const [ref, namespace] of [
		[ofClass, ofClass?.namespace ?? system],
		[infrastructure?.parametersRef, metadata.namespace],
	] as const) {
		if (ref === undefined) continue;
		if (ref.group !== "" || ref.kind !== "ConfigMap") return { message: `parametersRef ${ref.kind} is not supported; only ConfigMap is` };
		const object = snapshot.get("ConfigMap", namespace, ref.name);
		if (object === undefined) return { message: `ConfigMap ${namespace}/${ref.name} of parametersRef not found, or it has no part of a deployment` };
		found.push({ object });
	}
	return found;
}

const parameterSet = ({ object: { metadata, spec } }: Parameters): ParameterSet => ({
	from: `ConfigMap ${metadata.namespace}/${metadata.name}`,
	data: spec.data ?? {},
});

function toDeploy({ object: { metadata, spec }, deploymentName, listeners }: DeployedGateway, parameters: readonly ParameterSet[]): GatewayToDeploy {
	const { infrastructure, addresses, gatewayClassName: className } = spec;
	return {
		name: metadata.name,
		namespace: metadata.namespace,
		uid: metadata.uid ?? "",
		className,
		deploymentName,
		labels: infrastructure?.labels ?? metadata.labels,
		annotations: infrastructure?.annotations ?? metadata.annotations,
		ownAnnotations: metadata.annotations,
		listeners,
		address: addresses?.[0]?.value,
		parameters,
	};
}

async function reconcile<Settings>(
	{ client, clock, logger }: GatewayDeploymentsOptions<Settings>,
	gateway: DeployedGateway,
	entry: Known,
	signal: AbortSignal,
): Promise<void> {
	const { built } = entry;
	const { name, namespace, uid = "" } = gateway.object.metadata;
	const subject = { gateway: `${namespace}/${name}`, deployment: gateway.deploymentName };
	const say = (text: string) => {
		if (text !== "" && text !== entry.said) logger.warn("gateway not deployed as it is written", { ...subject, reason: text });
		entry.said = text;
	};
	// Until something else is written.
	entry.isApplied = true;
	entry.deploymentGeneration = undefined;
	if (built.kind === "error") return say(built.message);
	try {
		const outcome = await applyGateway(client, { name, namespace, uid, deploymentName: gateway.deploymentName }, built.parts, signal);
		entry.backoff.reset();
		if (outcome.kind === "gone") return;
		if (outcome.kind === "foreign") {
			say(outcome.message);
			return later(entry, clock.monotonicMs() + foreignRetryMs);
		}
		entry.deploymentGeneration = outcome.deploymentGeneration;
		if (!isAsApplied(entry)) entry.isApplied = false;
		logger.info("gateway deployed", subject);
		say([...built.warnings, ...outcome.notOurs.map((what) => `${what} is not this Gateway's; it is left as it is`)].join("; "));
		if (outcome.notOurs.length > 0) later(entry, clock.monotonicMs() + foreignRetryMs);
	} catch (error) {
		if (!signal.aborted) logger.warn("gateway not deployed", { ...subject, error });
		later(entry, clock.monotonicMs() + entry.backoff.nextMs());
	}
}

/** Somebody else's change makes another generation. */
const isAsApplied = ({ deploymentGeneration, seenGeneration }: Known): boolean => deploymentGeneration === undefined || seenGeneration <= deploymentGeneration;

function later(entry: Known, atMs: number): void {
	entry.isApplied = false;
	entry.retryMs = atMs;
}

/** As far as the store knows of a Service. */
function isSameService({ type, selector, ports }: ConfigObject<"Service">["spec"], wanted: unknown): boolean {
	const { type: wantedType, selector: wantedSelector, ports: wantedPorts } = wanted as ConfigObject<"Service">["spec"];
	const places = (list: typeof ports) => (list ?? []).map(({ name, port }) => ({ name, port }));
	return holds({ type, selector, ports: places(ports) }, { type: wantedType, selector: wantedSelector, ports: places(wantedPorts) });
}

const kinds: ReadonlySet<string> = new Set(["KubernetesGateway", "ListenerSet", "GatewayClass", "Namespace", "ConfigMap"]);

/** Notices what may need another build, and what was made and is not so any more. */
function watchChanges<Settings>({ client, store, clock, logger }: GatewayDeploymentsOptions<Settings>, known: ReadonlyMap<string, Known>, signal: AbortSignal) {
	let isChanged = true;
	const mend = (namespace: string, name: string, isIntact: (entry: Known) => boolean) => {
		for (const entry of known.values()) {
			if (entry.built.kind !== "built") continue;
			const { metadata } = entry.built.parts.deployment as unknown as KubeObject;
			if (metadata.namespace === namespace && metadata.name === name && !isIntact(entry)) entry.isApplied = false;
		}
	};
	const unsubscribe = store.subscribe(({ snapshot, changed }) => {
		for (const { kind, namespace, name, op } of changed) {
			if (kinds.has(kind)) isChanged = true;
			if (kind === "ServiceAccount" && op === "delete") mend(namespace, name, () => false);
			if (kind !== "Service" || op === "add") continue;
			const service = snapshot.get("Service", namespace, name);
			mend(namespace, name, ({ built }) => built.kind === "built" && service !== undefined && isSameService(service.spec, built.parts.service["spec"]));
		}
	});
	const deployments = new Map<string, KubeObject>();
	const see = (object: KubeObject) => {
		const { namespace = "", name } = object.metadata;
		deployments.set(`${namespace}/${name}`, object);
		mend(namespace, name, (entry) => {
			entry.seenGeneration = Number(object.metadata["generation"] ?? 0);
			return isAsApplied(entry);
		});
	};
	const lose = ({ metadata: { namespace = "", name } }: KubeObject) => {
		deployments.delete(`${namespace}/${name}`);
		mend(namespace, name, () => false);
	};
	const watch = watchResource(client, resourceOf("Deployment"), {
		labelSelector: `gateway.istio.io/managed=${managedValue}`,
		signal,
		clock,
		logger,
		onList(objects) {
			const listed = new Set(objects.map(({ metadata }) => `${metadata.namespace ?? ""}/${metadata.name}`));
			for (const [key, object] of [...deployments]) if (!listed.has(key)) lose(object);
			for (const object of objects) see(trim(object));
		},
		onEvents(events) {
			for (const { type, object } of events) (type === "delete" ? lose : see)(trim(object));
		},
	});
	return {
		take() {
			const taken = isChanged;
			isChanged = false;
			return taken;
		},
		done: watch.done.then(unsubscribe),
	};
}

const trim = ({ metadata: { name, namespace, generation } }: KubeObject): KubeObject => ({
	metadata: { name, generation, ...(namespace !== undefined && { namespace }) },
});
