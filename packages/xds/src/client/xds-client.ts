import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import { type Any, stripTypeUrl } from "../any.ts";
import type { Node } from "../generated/envoy/config/core/v3/base.ts";
import {
	DeltaDiscoveryRequest,
	type DeltaDiscoveryResponse,
	DiscoveryRequest,
	type DiscoveryResponse,
} from "../generated/envoy/service/discovery/v3/discovery.ts";
import { healthTypeUrl, typeUrls } from "../type-urls.ts";
import { resourceName } from "./resource-name.ts";
import type { OpenStream, XdsStream } from "./stream.ts";
import { changeNames, compareTypes, createSubscription, isWanted, type NameChange, type Subscription } from "./subscription.ts";

export interface XdsResource {
	readonly name: string;
	readonly version: string;
	readonly resource: Any;
}

export interface XdsUpdate {
	readonly typeUrl: string;
	/** The server's, for display. */
	readonly version: string;
	readonly resources: readonly XdsResource[];
	readonly removed: readonly string[];
}

export interface RejectedResource {
	readonly name: string;
	readonly message: string;
}

/**
 * Puts an update in force. Resolves once it is, with every resource that was refused: the others count as accepted.
 * Only then is the response acknowledged. Must not reject.
 */
export type ApplyUpdate = (update: XdsUpdate) => Promise<readonly RejectedResource[]>;

export interface XdsClientOptions {
	readonly mode: "delta" | "sotw";
	readonly open: OpenStream;
	readonly node: Node;
	readonly apply: ApplyUpdate;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	/** Names the server in logs. */
	readonly server: string;
	readonly onConnection?: (connected: boolean) => void;
}

export interface XdsClient {
	/** From now on exactly these resources of the type; `*`, also among names: all that the server has for this node. */
	subscribe(typeUrl: string, names: readonly string[] | "*"): void;
	/** Asks for resources that are subscribed to already once more: the server answers what there is of them. Delta alone. */
	askAgain(typeUrl: string, names: readonly string[]): void;
	/** Tells the server, now and in every stream to come, that the workload is healthy (undefined), or why not. Istio's HealthInformation. */
	reportHealth(problem: string | undefined): void;
	/** Connects, and connects again whenever the stream ends, until `signal` aborts. What was received stays as it is meanwhile. */
	run(signal: AbortSignal): Promise<void>;
	readonly connected: boolean;
	readonly mode: "delta" | "sotw";
}

/** Envoy's: 500 ms, doubling to 30 s, jittered. */
const backoffMs = { minMs: 500, maxMs: 30_000 };
/** Responses that may wait to be applied before reading stops. */
const waitingMax = 16;
/** gRPC's INTERNAL, as Envoy answers. */
const internalCode = 13;
const errorBytesMax = 16 * 1024;

/** A client of one management server: aggregated discovery, delta or state of the world (xDS protocol, v3). */
export function createXdsClient(options: XdsClientOptions): XdsClient {
	return new StreamingClient(options);
}

class StreamingClient implements XdsClient {
	readonly #options: XdsClientOptions;
	readonly #subscriptions = new Map<string, Subscription>();
	#stream: XdsStream | undefined;
	#nodeSent = false;
	#waiting = 0;
	#health: { readonly problem: string | undefined } | undefined;
	connected = false;
	readonly mode: "delta" | "sotw";

	constructor(options: XdsClientOptions) {
		this.#options = options;
		this.mode = options.mode;
	}

	subscribe(typeUrl: string, names: readonly string[] | "*"): void {
		let subscription = this.#subscriptions.get(typeUrl);
		if (!subscription) {
			subscription = createSubscription(typeUrl);
			this.#subscriptions.set(typeUrl, subscription);
		}
		const change = changeNames(subscription, names);
		if (change && this.#stream) this.#request(subscription, change);
	}

	askAgain(typeUrl: string, names: readonly string[]): void {
		const subscription = this.#subscriptions.get(typeUrl);
		if (this.#options.mode === "delta" && subscription?.sent === true) this.#request(subscription, { subscribe: names, unsubscribe: [] });
	}

	reportHealth(problem: string | undefined): void {
		this.#health = { problem };
		this.#sendHealth();
	}

	async run(signal: AbortSignal): Promise<void> {
		const { clock, random, logger, server, onConnection } = this.#options;
		const backoff = createBackoff({ ...backoffMs, random });
		while (!signal.aborted) {
			const reason = await this.#runStream(signal, () => backoff.reset());
			if (this.connected) onConnection?.(false);
			this.connected = false;
			if (signal.aborted) return;
			const retryMs = backoff.nextMs();
			logger.warn("xDS stream ended, the configuration stays as it is", { server, reason, retryMs: Math.round(retryMs) });
			await clock.sleep(retryMs, signal);
		}
	}

	#runStream(signal: AbortSignal, onWorking: () => void): Promise<string> {
		return new Promise((resolve) => {
			const abort = () => stream.close();
			const stream = this.#options.open({
				onResponse: (response) => {
					if (this.#stream !== stream) return;
					if (!this.connected) this.#options.onConnection?.(true);
					this.connected = true;
					onWorking();
					this.#receive(stream, response);
				},
				onEnd: (reason) => {
					signal.removeEventListener("abort", abort);
					this.#stream = undefined;
					resolve(reason);
				},
			});
			signal.addEventListener("abort", abort, { once: true });
			this.#begin(stream);
		});
	}

	#begin(stream: XdsStream): void {
		this.#stream = stream;
		this.#nodeSent = false;
		this.#waiting = 0;
		const subscriptions = [...this.#subscriptions.values()].sort((a, b) => compareTypes(a.typeUrl, b.typeUrl));
		for (const subscription of subscriptions) {
			subscription.nonce = "";
			subscription.sent = false;
			const subscribe = subscription.names === "*" ? [] : [...subscription.names];
			if (subscription.names === "*" || subscribe.length > 0) this.#request(subscription, { subscribe, unsubscribe: [] });
		}
		this.#sendHealth();
	}

	#sendHealth(): void {
		if (this.#health === undefined || this.#stream === undefined) return;
		const errorDetail = this.#health.problem === undefined ? undefined : errorOf(this.#health.problem);
		const request = { node: this.#node(), typeUrl: healthTypeUrl, errorDetail };
		this.#stream.send(this.#options.mode === "sotw" ? DiscoveryRequest.fromPartial(request) : DeltaDiscoveryRequest.fromPartial(request));
	}

	#node(): Node | undefined {
		if (this.#nodeSent) return undefined;
		this.#nodeSent = true;
		return this.#options.node;
	}

	#request(subscription: Subscription, change: NameChange): void {
		const { typeUrl, names } = subscription;
		if (this.#options.mode === "sotw") return this.#sendSotw(subscription, undefined);
		const first = !subscription.sent;
		// A type whose first request names nothing would be a wildcard.
		if (first && names !== "*" && names.size === 0) return;
		subscription.sent = true;
		const held = first ? Object.fromEntries(subscription.versions) : {};
		this.#stream?.send(
			DeltaDiscoveryRequest.fromPartial({
				node: this.#node(),
				typeUrl,
				resourceNamesSubscribe: first && names !== "*" ? [...names] : [...change.subscribe],
				resourceNamesUnsubscribe: [...change.unsubscribe],
				initialResourceVersions: held,
			}),
		);
	}

	#sendSotw(subscription: Subscription, error: string | undefined): void {
		const { typeUrl, names, version, nonce } = subscription;
		if (!subscription.sent && names !== "*" && names.size === 0) return;
		subscription.sent = true;
		const errorDetail = error === undefined ? undefined : errorOf(error);
		this.#stream?.send(
			DiscoveryRequest.fromPartial({
				node: this.#node(),
				typeUrl,
				versionInfo: version,
				responseNonce: nonce,
				resourceNames: names === "*" ? [] : [...names],
				errorDetail,
			}),
		);
	}

	#receive(stream: XdsStream, response: DeltaDiscoveryResponse | DiscoveryResponse): void {
		const subscription = this.#subscriptions.get(response.typeUrl);
		if (!subscription) return this.#options.logger.warn("the server sent a type that was not asked for", { type: stripTypeUrl(response.typeUrl) });
		if (++this.#waiting >= waitingMax) stream.pause();
		subscription.queue = subscription.queue.then(async () => {
			if (this.#stream === stream) await this.#handle(stream, subscription, response);
			if (this.#stream === stream && this.#waiting-- === waitingMax) stream.resume();
		});
	}

	async #handle(stream: XdsStream, subscription: Subscription, response: DeltaDiscoveryResponse | DiscoveryResponse): Promise<void> {
		const update = "systemVersionInfo" in response ? deltaUpdate(response) : sotwUpdate(response, subscription);
		const rejected = [...duplicates(update), ...(await this.#apply(update))];
		this.#remember(subscription, update, rejected);
		const error = rejected.length === 0 ? undefined : describe(rejected);
		const { logger, server } = this.#options;
		const type = stripTypeUrl(update.typeUrl);
		if (error !== undefined) logger.warn("configuration refused", { server, type, error });
		else logger.debug("configuration accepted", { server, type, resources: update.resources.length, removed: update.removed.length });
		if (this.#stream !== stream) return;
		if ("systemVersionInfo" in response) {
			const errorDetail = error === undefined ? undefined : errorOf(error);
			stream.send(DeltaDiscoveryRequest.fromPartial({ typeUrl: update.typeUrl, responseNonce: response.nonce, errorDetail }));
			return;
		}
		subscription.nonce = response.nonce;
		if (error === undefined) subscription.version = response.versionInfo;
		this.#sendSotw(subscription, error);
	}

	async #apply(update: XdsUpdate): Promise<readonly RejectedResource[]> {
		try {
			return await this.#options.apply(update);
		} catch (error) {
			return [{ name: "", message: error instanceof Error ? error.message : String(error) }];
		}
	}

	#remember(subscription: Subscription, update: XdsUpdate, rejected: readonly RejectedResource[]): void {
		const { versions } = subscription;
		const bad = new Set(rejected.map(({ name }) => name));
		for (const { name, version } of update.resources) {
			// A name that was given up while its resource was on the way is not held.
			if (!bad.has(name) && isWanted(subscription, name)) versions.set(name, version);
		}
		for (const name of update.removed) versions.delete(name);
	}
}

const errorOf = (message: string) => ({ code: internalCode, message, details: [] });

function deltaUpdate(response: DeltaDiscoveryResponse): XdsUpdate {
	const resources = response.resources.flatMap(({ name, version, resource }) => (resource === undefined ? [] : [{ name, version, resource }]));
	// Of a virtual host that does not exist there is only its name (VHDS protocol, "aliases").
	const absent = response.typeUrl === typeUrls.vhds ? response.resources.filter(({ resource }) => resource === undefined) : [];
	const removed = [...response.removedResources, ...absent.flatMap(({ name, aliases }) => [name, ...aliases])];
	return { typeUrl: response.typeUrl, version: response.systemVersionInfo, resources, removed: [...new Set(removed)] };
}

const wholeTypes = new Set<string>([typeUrls.cds, typeUrls.lds, typeUrls.srds]);

/** State of the world: of what is asked for as a whole, what is not there is gone; the other types go with their parents. */
function sotwUpdate(response: DiscoveryResponse, { versions, typeUrl }: Subscription): XdsUpdate {
	const resources = response.resources.map((resource) => ({ name: resourceName(resource.value), version: response.versionInfo, resource }));
	const present = new Set(resources.map(({ name }) => name));
	const whole = wholeTypes.has(typeUrl);
	return {
		typeUrl: response.typeUrl,
		version: response.versionInfo,
		resources,
		removed: whole ? [...versions.keys()].filter((name) => !present.has(name)) : [],
	};
}

function duplicates({ resources }: XdsUpdate): readonly RejectedResource[] {
	const seen = new Set<string>();
	return resources.flatMap(({ name }) => {
		if (!seen.has(name)) {
			seen.add(name);
			return [];
		}
		return [{ name, message: "duplicate name in one response" }];
	});
}

function describe(rejected: readonly RejectedResource[]): string {
	const text = rejected.map(({ name, message }) => (name === "" ? message : `${name}: ${message}`)).join("\n");
	return text.length > errorBytesMax ? `${text.slice(0, errorBytesMax)}…` : text;
}
