import type { Clock, Turns } from "@weft/runtime";
import { Node } from "../generated/envoy/config/core/v3/base.ts";
import { ClusterLoadAssignment } from "../generated/envoy/config/endpoint/v3/endpoint.ts";
import { type XdsType, xdsTypeOf } from "../type-urls.ts";
import { collectionTypes, type EncodedResource, pushOrder, type ResourceView } from "./resource.ts";
import { Subscription } from "./subscription.ts";
import { deltaResponse, type ResponseParts, sotwResponse, type WireMessage } from "./wire.ts";

/** Bytes of resources after which a delta response is cut in two: a client must not need to buffer a whole mesh. */
const deltaResponseBytesMax = 1 << 20;
/** A client that takes no byte for so long is cut; others must not wait for it. */
const writeTimeoutMs = 30_000;
/** How long listeners and routes wait for a client that warms the clusters they will name. */
const warmTimeoutMs = 5_000;

/** Stands for the responses of an earlier stream. */
const resumedNonce = "resumed";

const gatedTypes: ReadonlySet<XdsType> = new Set<XdsType>(["lds", "rds", "vhds"]);

const noNames: ReadonlySet<string> = new Set();

/** A request of either protocol, reduced to what the server acts on. */
export interface ClientRequest {
	readonly node: Node | undefined;
	readonly typeUrl: string;
	readonly nonce: string;
	readonly error: string | undefined;
	readonly change:
		| {
				readonly protocol: "delta";
				readonly subscribe: readonly string[];
				readonly unsubscribe: readonly string[];
				readonly initial: Readonly<Record<string, string>>;
		  }
		| { readonly protocol: "sotw"; readonly names: readonly string[]; readonly version: string };
}

export interface StreamEvents {
	sent?(type: XdsType, resources: number, bytes: number): void;
	acked?(type: XdsType): void;
	nacked?(type: XdsType, message: string, names: readonly string[]): void;
	/** Everything of the view is in the client's hands and answered. */
	synced?(): void;
}

export interface StreamState {
	readonly type: XdsType;
	readonly sent: string;
	readonly acked: string;
	readonly nack: { readonly message: string; readonly names: readonly string[] } | undefined;
	/** Of the last response, and of the last one that was acknowledged; "" : none was. Both `resumed`: the client came back with everything. */
	readonly nonceSent: string;
	readonly nonceAcked: string;
	/** Of the last response; epoch ms. */
	readonly sentAtMs: number;
	/** What the client has asked for by name; a wildcard has none. */
	readonly names: ReadonlySet<string>;
}

/**
 * State of the world has no word for "there is none", and Envoy takes no more clusters while one waits for its endpoints: one
 * that is gone again by the time its endpoints are asked for would hold up everything after it.
 */
function emptyAssignment(name: string): EncodedResource {
	return { name, version: "none", bytes: ClusterLoadAssignment.encode(ClusterLoadAssignment.fromPartial({ clusterName: name })).finish() };
}

interface Gate {
	/** Names of clusters whose endpoints must arrive first. */
	readonly clusters: ReadonlySet<string>;
	readonly untilMs: number;
}

/**
 * One client's aggregated stream: takes requests, and sends what the view has and the client lacks,
 * one response at a time, in push order. A newer view replaces an older one that was not sent yet.
 */
export class ClientStream {
	readonly protocol: "delta" | "sotw";
	readonly #write: (message: WireMessage) => Promise<void>;
	readonly #clock: Clock;
	readonly #turns: Turns;
	readonly #events: StreamEvents;
	readonly #subscriptions = new Map<XdsType, Subscription>();
	/** The same in push order. */
	#ordered: readonly Subscription[] = [];
	#view: ResourceView | undefined;
	#gate: Gate | undefined;
	#running = false;
	/** Something came while a step was under way. */
	#again = false;
	#closed = false;
	#nonce = 0;
	#nonceVersion = "";
	#writingSinceMs: number | undefined;
	#syncedVersion = "";
	/** Responses sent for the present view: 0 means that the view changed nothing for this client. */
	#sentForView = 0;

	/** `turns`: shared with the other streams, since a change has something to send to all of them at once. */
	constructor(protocol: "delta" | "sotw", write: (message: WireMessage) => Promise<void>, clock: Clock, turns: Turns, events: StreamEvents) {
		this.protocol = protocol;
		this.#write = write;
		this.#clock = clock;
		this.#turns = turns;
		this.#events = events;
	}

	/** The version of the last view that this client has wholly taken. */
	get syncedVersion(): string {
		return this.#syncedVersion;
	}

	get sentForView(): number {
		return this.#sentForView;
	}

	states(): StreamState[] {
		return [...this.#subscriptions.values()].map((s) => ({
			type: s.type,
			sent: s.lastVersion,
			acked: s.unanswered.size === 0 ? s.lastVersion : "",
			nack: s.nack,
			nonceSent: s.resumed ? resumedNonce : s.lastNonce,
			nonceAcked: s.resumed ? resumedNonce : s.ackedNonce,
			sentAtMs: s.sentAtMs,
			names: s.names,
		}));
	}

	/** Version of the resource that the client has acknowledged; undefined while it has not, or has refused. */
	acknowledged(type: XdsType, name: string): string | undefined {
		const subscription = this.#subscriptions.get(type);
		if (subscription === undefined || subscription.unanswered.size > 0 || subscription.nack !== undefined) return undefined;
		return subscription.sent.get(name);
	}

	push(view: ResourceView): void {
		this.#view = view;
		this.#sentForView = 0;
		for (const subscription of this.#ordered) subscription.dirty = true;
		this.#kick();
	}

	/** `typeUrl` that nobody serves is answered by silence, as Envoy and istiod do. */
	request(request: ClientRequest): void {
		const type = xdsTypeOf(request.typeUrl);
		if (!type) return;
		let subscription = this.#subscriptions.get(type);
		if (!subscription) {
			subscription = new Subscription(type);
			this.#subscriptions.set(type, subscription);
			this.#ordered = pushOrder.flatMap((each) => this.#subscriptions.get(each) ?? []);
		}
		if (request.nonce !== "") this.#answered(subscription, request);
		const { change } = request;
		// State of the world repeats the names in every request; one that answers an older response must not change them back.
		const stale = change.protocol === "sotw" && request.nonce !== "" && request.nonce !== subscription.lastNonce;
		if (change.protocol === "delta") subscription.applyDelta(change.subscribe, change.unsubscribe, change.initial);
		else if (!stale) subscription.applySotw(change.names);
		if (type === "rds") this.#followTables();
		this.#kick();
	}

	/** Envoy's one wildcard request for virtual hosts stands for all tables that it takes, now and later. */
	#followTables(): void {
		const hosts = this.#subscriptions.get("vhds");
		if (hosts?.wildcard) hosts.dirty = true;
	}

	close(): void {
		this.#closed = true;
	}

	#answered(subscription: Subscription, request: ClientRequest): void {
		const answer = subscription.answer(request.nonce, request.error);
		if (answer === undefined) return;
		if (request.error === undefined) this.#events.acked?.(subscription.type);
		else this.#events.nacked?.(subscription.type, request.error, answer.refused);
	}

	#kick(): void {
		this.#again = true;
		if (this.#running || this.#closed || !this.#view) return;
		this.#running = true;
		this.#run();
	}

	/** Goes on without a promise where nothing has to be waited for: of the looks at all streams in a push most end at once. */
	readonly #run = (): void => {
		let under: Promise<void> | undefined;
		try {
			while (this.#again && under === undefined) {
				this.#again = false;
				under = this.#step();
			}
		} finally {
			// In the same turn as the last look at `#again`: what comes in between would wait for ever.
			this.#running = under !== undefined;
		}
		if (under === undefined) return;
		this.#again = true;
		void under.then(this.#run, (error: unknown) => {
			this.#running = false;
			throw error;
		});
	};

	/**
	 * Sends the first response in order that is due, or waits until it is this stream's turn; undefined when there is nothing to send now.
	 * Most looks at a stream end so, and wait for nothing.
	 */
	#step(): Promise<void> | undefined {
		const view = this.#view;
		if (this.#closed || view === undefined) return undefined;
		let busy = false;
		let hasTurn = false;
		for (const subscription of this.#ordered) {
			// At most one round of a type is on its way: a slow client gets the newest state next, not every state.
			if (subscription.unanswered.size > 0) busy = true;
			else if (subscription.dirty) {
				if (gatedTypes.has(subscription.type) && this.#waitsForClusters()) {
					busy = true;
					continue;
				}
				const turn = hasTurn ? undefined : this.#turns.next();
				if (turn) return turn;
				hasTurn = true;
				subscription.dirty = false;
				const sending = this.#sendUpserts(subscription, view);
				if (sending) return sending;
			}
		}
		if (busy || this.#waitsForClusters()) return undefined;
		for (let i = this.#ordered.length - 1; i >= 0; i--) {
			const sending = this.#sendRemovals(this.#ordered[i] as Subscription, view);
			if (sending) return sending;
		}
		this.#markSynced(view);
		return undefined;
	}

	/** Clusters and endpoints of this view cannot be sent before the last ones are answered, or still warm: what names them waits as well. */
	#waitsForClusters(): boolean {
		return this.#gated() || this.#isHeldUp("cds") || this.#isHeldUp("eds");
	}

	#isHeldUp(type: XdsType): boolean {
		const subscription = this.#subscriptions.get(type);
		return subscription !== undefined && subscription.dirty && subscription.unanswered.size > 0;
	}

	#markSynced(view: ResourceView): void {
		if (this.#syncedVersion === view.version || this.#ordered.length === 0) return;
		this.#syncedVersion = view.version;
		this.#events.synced?.();
	}

	#sendUpserts(subscription: Subscription, view: ResourceView): Promise<void> | undefined {
		if (subscription.type === "vhds" && subscription.wildcard) subscription.follow(this.#subscriptions.get("rds")?.names ?? noNames);
		const { upsert, remove } = subscription.difference(view);
		if (collectionTypes.has(subscription.type)) return this.#sendWhole(subscription, view, upsert, remove);
		const firstEver = subscription.lastNonce === "";
		if (upsert.length + remove.length === 0 && !firstEver) return undefined;
		// A name that was asked for and does not exist is answered at once; removals of what is in use wait (sendRemovals).
		const absent = remove.filter((name) => subscription.resend.has(name) || !subscription.sent.has(name));
		for (const name of absent) subscription.resend.delete(name);
		let sending: Promise<void>;
		if (this.protocol === "sotw") {
			const sent = subscription.type === "eds" ? [...upsert, ...absent.map(emptyAssignment)] : upsert;
			if (sent.length === 0 && !firstEver) return undefined;
			const keep = subscription.wildcard ? this.#kept(subscription, view, remove) : sent;
			sending = this.#send(subscription, view, { resources: keep, removed: [] }, sent);
		} else {
			if (upsert.length === 0 && absent.length === 0 && !(firstEver && subscription.wildcard)) return undefined;
			sending = this.#sendChunks(subscription, view, upsert, absent);
			if (absent.length === remove.length) subscription.markComplete(view);
		}
		return subscription.type === "cds" ? sending.then(() => this.#openGate(upsert, view)) : sending;
	}

	/** Members of collections: what goes makes room for what comes. */
	#sendWhole(subscription: Subscription, view: ResourceView, upsert: readonly EncodedResource[], removed: readonly string[]): Promise<void> | undefined {
		if (this.protocol === "sotw" || upsert.length + removed.length === 0) return undefined;
		const sending = this.#send(subscription, view, { resources: upsert, removed }, upsert);
		// What comes next is compared with this view: a host that came and went since an older one would be overlooked.
		subscription.markComplete(view);
		return sending;
	}

	/** The whole set for a state-of-the-world client. What is going stays until routes have moved away from it. */
	#kept(subscription: Subscription, view: ResourceView, going: readonly string[]): EncodedResource[] {
		const all = [...view.all(subscription.type).values()];
		for (const name of going) {
			const old = this.#going.get(`${subscription.type}/${name}`);
			if (old) all.push(old);
		}
		return all;
	}

	/** Resources last sent to a state-of-the-world client, so that they can be repeated while they are going. */
	readonly #going = new Map<string, EncodedResource>();

	#sendChunks(subscription: Subscription, view: ResourceView, upsert: readonly EncodedResource[], removed: readonly string[]): Promise<void> {
		const to = chunkEnd(upsert);
		if (to === upsert.length) return this.#send(subscription, view, { resources: upsert, removed }, upsert);
		const chunk = upsert.slice(0, to);
		const sending = this.#send(subscription, view, { resources: chunk, removed: [] }, chunk);
		return sending.then(() => this.#sendChunks(subscription, view, upsert.slice(to), removed));
	}

	#sendRemovals(subscription: Subscription, view: ResourceView): Promise<void> | undefined {
		if (collectionTypes.has(subscription.type)) return undefined;
		const { remove } = subscription.difference(view);
		if (remove.length === 0) return undefined;
		if (this.protocol === "delta") return this.#send(subscription, view, { resources: [], removed: remove }, []);
		// In state of the world only CDS and LDS delete by absence; the rest goes with its parent.
		if (!subscription.wildcard) {
			for (const name of remove) subscription.sent.set(name, "");
			return undefined;
		}
		for (const name of remove) {
			subscription.sent.delete(name);
			this.#going.delete(`${subscription.type}/${name}`);
		}
		return this.#send(subscription, view, { resources: [...view.all(subscription.type).values()], removed: [] }, []);
	}

	#send(
		subscription: Subscription,
		view: ResourceView,
		content: { readonly resources: readonly EncodedResource[]; readonly removed: readonly string[] },
		upsert: readonly EncodedResource[],
	): Promise<void> {
		const nonce = this.#nextNonce(view.version);
		const parts: ResponseParts = { type: subscription.type, version: view.version, nonce, ...content };
		const message = this.protocol === "delta" ? deltaResponse(parts) : sotwResponse(parts);
		subscription.markSent(nonce, view.version, this.#clock.nowMs(), upsert, content.removed);
		if (this.protocol === "sotw" && subscription.wildcard) for (const r of upsert) this.#going.set(`${subscription.type}/${r.name}`, r);
		this.#sentForView++;
		this.#events.sent?.(subscription.type, content.resources.length, message.length);
		return this.#writeInTime(message);
	}

	/** Counted from one in each version, so that in a push clients of one kind are sent the very same bytes. */
	#nextNonce(version: string): string {
		if (version !== this.#nonceVersion) this.#nonce = 0;
		this.#nonceVersion = version;
		return `${version}.${++this.#nonce}`;
	}

	#writeInTime(message: WireMessage): Promise<void> {
		this.#writingSinceMs = this.#clock.monotonicMs();
		return this.#write(message).then(this.#written, this.#ended);
	}

	readonly #written = (): void => {
		this.#writingSinceMs = undefined;
	};

	/** The transport reports its own end; nothing more is sent on this stream. */
	readonly #ended = (): void => {
		this.#closed = true;
		this.#writingSinceMs = undefined;
	};

	/** Whether the client has taken no data for too long. */
	get stalled(): boolean {
		return this.#writingSinceMs !== undefined && this.#clock.monotonicMs() - this.#writingSinceMs > writeTimeoutMs;
	}

	/**
	 * Envoy warms a new or changed cluster until its endpoints come again, even unchanged ones; and a route that names
	 * a cluster still warming answers 503. So endpoints are repeated, and routes wait until they were taken.
	 */
	#openGate(clusters: readonly EncodedResource[], view: ResourceView): void {
		const eds = this.#subscriptions.get("eds");
		const serving = (this.#subscriptions.get("lds")?.lastNonce ?? "") !== "";
		if (!serving && eds === undefined) return;
		const added = new Set<string>();
		for (const { name } of clusters) {
			if (view.get("eds", name) === undefined) continue;
			if (eds?.names.has(name)) {
				eds.resend.add(name);
				eds.dirty = true;
			}
			added.add(name);
		}
		if (!serving || added.size === 0) return;
		// Those of an earlier change that still warm are waited for as well.
		for (const name of this.#gate?.clusters ?? []) if (view.get("cds", name) !== undefined) added.add(name);
		this.#gate = { clusters: added, untilMs: this.#clock.monotonicMs() + warmTimeoutMs };
		void this.#clock.sleep(warmTimeoutMs).then(() => this.#kick());
	}

	#gated(): boolean {
		if (!this.#gate) return false;
		const { clusters, untilMs } = this.#gate;
		const cds = this.#subscriptions.get("cds");
		const eds = this.#subscriptions.get("eds");
		const waiting =
			(cds?.unanswered.size ?? 0) > 0 || (eds?.unanswered.size ?? 0) > 0 || (eds?.dirty ?? false) || ![...clusters].every((name) => eds?.names.has(name));
		if (waiting && this.#clock.monotonicMs() < untilMs) return true;
		this.#gate = undefined;
		return false;
	}
}

/** How many of the resources, at least one, go into one response. */
function chunkEnd(resources: readonly EncodedResource[]): number {
	let bytes = 0;
	for (let i = 0; i < resources.length; i++) {
		bytes += (resources[i] as EncodedResource).bytes.length;
		if (i > 0 && bytes > deltaResponseBytesMax) return i;
	}
	return resources.length;
}
