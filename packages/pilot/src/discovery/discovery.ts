import { isDeepStrictEqual } from "node:util";
import { status } from "@grpc/grpc-js";
import type { MeshConfig, MeshNetworks } from "@weft/api";
import type { Store, StoreChange } from "@weft/galley";
import { type Clock, createTurns, type Logger } from "@weft/runtime";
import { type AdsDelegate, RefusedError, type ResourceView, type XdsClient } from "@weft/xds/server";
import type { Registry } from "prom-client";
import { noJwks } from "../model/jwks.ts";
import { nodeInputs } from "../model/node.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { sameItems } from "../model/reuse.ts";
import { stats } from "../translator/encode.ts";
import type { AutoRegistration } from "../registration/auto-registration.ts";
import { classViewOf } from "../translator/class-view.ts";
import { resourceView, type ViewOptions } from "../translator/resource-view.ts";
import { buildPush, decodeNode } from "../translator/translator.ts";
import { createDebounce } from "./debounce.ts";
import { buildDistribution, type Distribution } from "./distribution.ts";
import { createGatewayNames, type ResolveGateway } from "./gateway-names.ts";
import { createJwksFetcher, type JwksFetcher, type JwksTransport } from "./jwks-fetcher.ts";
import { createDiscoveryMetrics, type DiscoveryMetrics, exposeResourceStats } from "./metrics.ts";
import { PushedSince } from "./pushed-since.ts";
import { type Convergence, SyncStatus } from "./sync-status.ts";
import { createTrustResource } from "./trust-resource.ts";

export interface DiscoveryOptions {
	readonly store: Store;
	/** Read at every push: who changes it changes the store, too. */
	readonly meshConfig: () => MeshConfig;
	/** Likewise; undefined: none are declared. */
	readonly meshNetworks?: () => MeshNetworks;
	readonly clusterId: string;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly registry: Registry;
	/** The roots that workloads trust, PEM each, for whoever asks for them; `retrust` tells of a change. */
	readonly trustRoots?: () => readonly string[];
	readonly signal: AbortSignal;
	readonly debounceQuietMs?: number;
	readonly debounceCapMs?: number;
	/** How keys of token issuers are fetched; without it they stay unknown, and their tokens are refused. */
	readonly jwksTransport?: JwksTransport;
	/** How gateways to other networks that are given by name are looked up; without it they are left out. */
	readonly resolveGateway?: ResolveGateway;
	/** Default: a proxy may have the Secrets of its own namespace. */
	readonly secretAccess?: SecretAccess;
	/** Keeps WorkloadEntries of proxies that ask for it; without it none is made. */
	readonly registration?: Pick<AutoRegistration, "connected" | "disconnected" | "health">;
}

/** Whether a service account may read the Secrets of its namespace. */
export interface SecretAccess {
	/** What is known now: unknown is no. What is not known, or old, is asked for in the background. */
	mayRead(namespace: string, serviceAccount: string): boolean;
	/** Called when an answer has changed. */
	readonly onChange: (changed: () => void) => void;
}

export interface Discovery {
	readonly delegate: AdsDelegate;
	readonly push: PushSnapshot;
	readonly clients: ReadonlySet<XdsClient>;
	/** Pushes what has changed so far, and resolves once every proxy has it in force, or `signal` aborts. */
	converged(signal: AbortSignal): Promise<Convergence>;
	nodeOf(client: XdsClient): ProxyNode;
	/** What the client should have by the push of now. */
	viewOf(client: XdsClient): ResourceView;
	/** Hands every proxy its view anew. */
	pushAll(): void;
	/** Which proxies of this control plane have which objects in force now. */
	distribution(): Distribution;
	/** Another number whenever `distribution` may say something else. */
	readonly revision: number;
	/** Hands the trusted roots to every proxy anew. */
	retrust(): void;
	/** How many proxies have acknowledged the trusted roots of now. */
	trust(): TrustCounts;
}

/** A connected client as pushes see it, and what its node was read from. */
interface KnownClient {
	readonly node: ProxyNode;
	readonly viewOptions: ViewOptions;
	readonly inputs: readonly unknown[];
	readonly workloads: object;
	readonly mesh: object;
}

export interface TrustCounts {
	readonly proxies: number;
	/** Asked for the roots, and have not acknowledged those of now. */
	readonly missing: number;
	/** Never asked for them. */
	readonly silent: number;
}

/** Names that are remembered of one proxy, so that each is complained of once. */
const missingSecretsMax = 1_000;

/** Listens to the store, rebuilds the push snapshot, and hands every connected proxy its view of it. */
export function createDiscovery(options: DiscoveryOptions): Discovery {
	const { store, meshConfig, meshNetworks, clusterId, clock, logger, registry } = options;
	const metrics = createDiscoveryMetrics(registry);
	exposeResourceStats(registry, stats);
	const sync = new SyncStatus();
	const { resolveGateway: resolve } = options;
	const gateways = resolve && createGatewayNames({ ...options, resolve, onChange: () => notify([]) });
	const pushInput = () => ({
		snapshot: store.snapshot(),
		meshConfig: meshConfig(),
		clusterId,
		...(meshNetworks && { meshNetworks: meshNetworks() }),
		...(gateways && { gatewayAddresses: gateways.addresses }),
	});
	let push = buildPush(pushInput());
	let changedAtMs = clock.monotonicMs();

	const roots = createTrustResource(options.trustRoots ?? (() => []));
	const missing = createMissingSecrets(logger, metrics);
	/** What a client's view is made with. */
	const viewOptionsOf = (client: XdsClient, { namespace, serviceAccount }: ProxyNode): ViewOptions => {
		const mayReadSecrets = () => options.secretAccess?.mayRead(namespace, serviceAccount) ?? true;
		const rights = { isAuthenticated: client.peer.spiffeIds !== undefined, mayReadSecrets };
		return { rights, onMissingSecret: (name, problem) => missing(client, name, problem) };
	};
	const known = new WeakMap<XdsClient, KnownClient>();
	const knownOf = (client: XdsClient): KnownClient => {
		const { workloads, mesh } = push;
		const last = known.get(client);
		if (last?.workloads === workloads && last.mesh === mesh) return last;
		const next = last && sameItems(last.inputs, nodeInputs(last.node, push)) ? { ...last, workloads } : readClient(client, last);
		known.set(client, next);
		return next;
	};
	const readClient = (client: XdsClient, last: KnownClient | undefined): KnownClient => {
		const decoded = decodeNode(client.node, push);
		// The protocol knows virtual hosts one by one in its delta form alone.
		const fresh = decoded.vhds && client.protocol !== "delta" ? { ...decoded, vhds: false } : decoded;
		// What is remembered of a node stays valid while it says the same.
		const node = last !== undefined && isDeepStrictEqual(last.node, fresh) ? last.node : fresh;
		const { workloads, mesh } = push;
		return { node, viewOptions: viewOptionsOf(client, node), inputs: nodeInputs(node, push), workloads, mesh };
	};
	const nodeOf = (client: XdsClient): ProxyNode => knownOf(client).node;
	const publish = (client: XdsClient, { node, viewOptions } = knownOf(client), classView = classViewOf(push, node)) => {
		// Asked before it is needed: by the time that a gateway has its listeners the answer is there.
		if (node.kind === "router") viewOptions.rights.mayReadSecrets();
		client.push(resourceView(push, node, viewOptions, roots.all(), classView));
	};
	const publishAll = () => {
		for (const client of sync.clients) publish(client);
	};
	const turns = createTurns(clock);
	options.secretAccess?.onChange(publishAll);

	const since = new PushedSince();
	async function runPush(changed: readonly StoreChange["changed"][number][], firstAtMs: number): Promise<void> {
		const started = clock.monotonicMs();
		metrics.debounceSeconds.observe((started - firstAtMs) / 1000);
		for (const kind of new Set(changed.map((c) => c.kind))) metrics.triggers.inc({ type: kind });
		changedAtMs = firstAtMs;
		const turn = turns.next();
		if (turn) await turn;
		push = buildPush({ ...pushInput(), jwks: jwks?.index ?? noJwks }, push);
		since.pushed(changed, push.version);
		jwks?.update(push);
		gateways?.update(push);
		metrics.services.set(push.services.length);
		metrics.virtualServices.set(push.virtualServices.length);
		for (const client of [...sync.clients]) {
			const seen = knownOf(client);
			const classView = classViewOf(push, seen.node);
			const under = classView.prepare(turns) ?? turns.next();
			if (under) await under;
			publish(client, seen, classView);
		}
		sync.pushed(push.version);
		metrics.pushSeconds.observe({ type: "all" }, (clock.monotonicMs() - started) / 1000);
		logger.info("push", { version: push.version, changes: changed.length, proxies: sync.clients.size, ms: Math.round(clock.monotonicMs() - started) });
	}

	const notify = createDebounce<readonly StoreChange["changed"][number][]>({
		quietMs: options.debounceQuietMs ?? 100,
		capMs: options.debounceCapMs ?? 10_000,
		clock,
		merge: (a, b) => [...a, ...b],
		run: runPush,
		signal: options.signal,
	});
	const stop = store.subscribe((change) => notify(change.changed));
	const { jwksTransport: transport, signal } = options;
	const jwks: JwksFetcher | undefined = transport && createJwksFetcher({ transport, clock, logger, signal, onChange: () => notify([]) });
	jwks?.update(push);
	gateways?.update(push);
	options.signal.addEventListener("abort", stop, { once: true });

	const { registration } = options;
	/** Clients whose stream ended, perhaps before they were registered. */
	const gone = new WeakSet<XdsClient>();
	const welcome = async (client: XdsClient): Promise<void> => {
		await classViewOf(push, nodeOf(client)).prepare(turns);
		if (gone.has(client)) return;
		sync.add(client);
		metrics.connected.set(sync.clients.size);
		logger.info("proxy connected", { proxy: client.node.id, peer: client.peer.address });
		publish(client);
	};
	const delegate: AdsDelegate = {
		connected(client) {
			checkIdentity(client);
			const registered = registration?.connected(client);
			return registered === undefined ? welcome(client) : registered.then(() => welcome(client));
		},
		disconnected(client) {
			gone.add(client);
			registration?.disconnected(client);
			if (!sync.clients.has(client)) return;
			sync.delete(client);
			metrics.connected.set(sync.clients.size);
			logger.info("proxy disconnected", { proxy: client.node.id });
		},
		health: (client, problem) => registration?.health(client, problem),
		sent(_client, type, _resources, bytes) {
			metrics.pushes.set(type, (metrics.pushes.get(type) ?? 0) + 1);
			metrics.configBytes.observe({ type }, bytes);
		},
		nacked(client, type, message, names) {
			metrics.rejects.inc({ type });
			metrics.totalRejects.inc();
			logger.warn("proxy refused configuration", { proxy: client.node.id, type, resources: names.slice(0, 10).join(","), error: message });
			sync.changed();
		},
		synced(client) {
			if (client.sentForView > 0) metrics.convergenceSeconds.observe((clock.monotonicMs() - changedAtMs) / 1000);
			sync.changed();
		},
	};

	return {
		delegate,
		get push() {
			return push;
		},
		get clients() {
			return sync.clients;
		},
		converged: async (signal) => {
			while (!signal.aborted && push.version < store.snapshot().version) await clock.sleep(5, signal);
			return sync.converged(push.version, signal);
		},
		nodeOf,
		viewOf(client) {
			const { node, viewOptions } = knownOf(client);
			// Whoever looks is not the proxy: a secret that is missing is its complaint.
			return resourceView(push, node, { rights: viewOptions.rights }, roots.all());
		},
		pushAll: publishAll,
		distribution() {
			const proxies = [...sync.clients].map((client) => ({
				node: nodeOf(client),
				syncedVersion: client.syncedVersion === "" ? -1 : Number(client.syncedVersion),
				states: client.states(),
			}));
			return buildDistribution(push, proxies, (object) => since.of(object));
		},
		get revision() {
			return sync.revision;
		},
		retrust: publishAll,
		trust: () => {
			const version = roots.current()?.version;
			const asking = [...sync.clients].filter((client) => client.states().some(({ type }) => type === "pcds"));
			const missing = asking.filter((client) => client.acknowledged("pcds", "") !== version);
			return { proxies: sync.clients.size, missing: missing.length, silent: sync.clients.size - asking.length };
		},
	};
}

/** Says once of each client and secret why it is not sent: the listener that needs it stays closed. */
function createMissingSecrets(logger: Logger, metrics: DiscoveryMetrics): (client: XdsClient, name: string, problem: string) => void {
	const said = new WeakMap<XdsClient, Map<string, string>>();
	return (client, name, problem) => {
		const known = said.get(client) ?? new Map<string, string>();
		said.set(client, known);
		if (known.get(name) === problem) return;
		if (known.size >= missingSecretsMax) known.clear();
		known.set(name, problem);
		metrics.missingSecrets.inc();
		logger.warn("secret not sent", { proxy: client.node.id, secret: name, reason: problem });
	};
}

/**
 * A proxy may only ask for its own workload's configuration: namespace and service account of the node must be those of
 * its certificate (Istio's PILOT_ENABLE_XDS_IDENTITY_CHECK). A client without certificate got in by the plain-text port.
 */
function checkIdentity(client: XdsClient): void {
	const ids = client.peer.spiffeIds;
	if (ids === undefined) return;
	const metadata = (client.node.metadata ?? {}) as Record<string, unknown>;
	const wanted = `/ns/${metadata["NAMESPACE"]}/sa/${metadata["SERVICE_ACCOUNT"]}`;
	const allowed = ids.some((id) => /^spiffe:\/\/[^/]+(\/ns\/[^/]+\/sa\/[^/]+)$/.exec(id)?.[1] === wanted);
	if (!allowed)
		throw new RefusedError(status.PERMISSION_DENIED, `node ${client.node.id} claims ${wanted}, but its certificate is for ${ids.join(", ") || "nobody"}`);
}
