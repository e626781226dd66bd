import type { Clock, Turns } from "@weft/runtime";
import type { MessageWriter } from "./message-writer.ts";
import { Node } from "../generated/envoy/config/core/v3/base.ts";
import { ClusterLoadAssignment } from "../generated/envoy/config/endpoint/v3/endpoint.ts";
import { type XdsType, xdsTypeOf } from "../type-urls.ts";
import { collectionTypes, type EncodedResource, pushOrder, type ResourceView } from "./resource.ts";
import { type Difference, Subscription } from "./subscription.ts";
import { deltaResponse, type ResponseParts, sotwResponse } from "./wire.ts";

/** Bytes of resources after which a delta response is cut in two: a client must not need to buffer a whole mesh. */
const deltaResponseBytesMax = 1 << 20;
/** A client that takes no byte for so long is cut; others must not wait for it. */
const writeTimeoutMs = 30_000;
/** How long listeners and routes wait for a client that warms the clusters they will name. */
const warmTimeoutMs = 5_000;

/** Stands for the responses of an earlier stream. */
const resumedNonce = "resumed";

/** A set of types is a number, a bit each by their place in push order: in a push, most looks at a stream read nothing else of it. */
const bitOf = (type: XdsType): number => 1 << pushOrder.indexOf(type);
const bits = { cds: bitOf("cds"), eds: bitOf("eds"), vhds: bitOf("vhds"), gated: bitOf("lds") | bitOf("rds") | bitOf("vhds") };

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
	readonly #write: MessageWriter;
	readonly #clock: Clock;
	readonly #turns: Turns;
	readonly #events: StreamEvents;
	/** By their types' place in push order. */
	readonly #subscriptions: (Subscription | undefined)[] = pushOrder.map(() => undefined);
	/** Of each type, the revision at which nothing was missing. */
	readonly #complete: unknown[] = pushOrder.map(() => undefined);
	#subscribed = 0;
	/** Something may have to be sent: a push or a request came. */
	#due = 0;
	/** A response is not answered yet. */
	#unanswered = 0;
	/** What the view no longer has may have to be taken away. */
	#unsettled = 0;
	#view: ResourceView | undefined;
	#gate: Gate | undefined;
	#running = false;
	/** Something came while a step was under way. */
	#again = false;
	#closed = false;
	#nonce = 0;
	#nonceVersion = "";
	#writingSinceMs: number | undefined;
	/** What follows the response that is being written. */
	#then: (() => void) | undefined;
	#syncedVersion = "";
	/** Responses sent for the present view: 0 means that the view changed nothing for this client. */
	#sentForView = 0;

	/** `turns`: shared with the other streams, since a change has something to send to all of them at once. */
	constructor(protocol: "delta" | "sotw", write: MessageWriter, clock: Clock, turns: Turns, events: StreamEvents) {
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

	/** In push order. */
	states(): StreamState[] {
		return this.#subscriptions.flatMap((s, place) => {
			if (s === undefined) return [];
			// The client came back with all that it should have, so that nothing had to be sent.
			const isResumed = s.lastNonce === "" && (this.#due & (1 << place)) === 0 && !s.sent.isEmpty;
			return {
				type: s.type,
				sent: s.lastVersion,
				acked: s.unanswered.length === 0 ? s.lastVersion : "",
				nack: s.nack,
				nonceSent: isResumed ? resumedNonce : s.lastNonce,
				nonceAcked: isResumed ? resumedNonce : s.ackedNonce,
				sentAtMs: s.sentAtMs,
				names: s.names,
			};
		});
	}

	/** Version of the resource that the client has acknowledged; undefined while it has not, or has refused. */
	acknowledged(type: XdsType, name: string): string | undefined {
		const subscription = this.#of(type);
		if (subscription === undefined || subscription.unanswered.length > 0 || subscription.nack !== undefined) return undefined;
		return subscription.sent.get(name);
	}

	#of(type: XdsType): Subscription | undefined {
		return this.#subscriptions[pushOrder.indexOf(type)];
	}

	push(view: ResourceView): void {
		this.#view = view;
		this.#sentForView = 0;
		this.#due = this.#unsettled = this.#subscribed;
		this.#kick();
	}

	/** `typeUrl` that nobody serves is answered by silence, as Envoy and istiod do. */
	request(request: ClientRequest): void {
		const type = xdsTypeOf(request.typeUrl);
		if (!type) return;
		const place = pushOrder.indexOf(type);
		let subscription = this.#subscriptions[place];
		if (!subscription) {
			subscription = new Subscription(type);
			this.#subscriptions[place] = subscription;
			this.#subscribed |= 1 << place;
		}
		if (request.nonce !== "") this.#answered(subscription, place, request);
		const { change } = request;
		// State of the world repeats the names in every request; one that answers an older response must not change them back.
		const stale = change.protocol === "sotw" && request.nonce !== "" && request.nonce !== subscription.lastNonce;
		if (change.protocol === "delta") {
			const isDue = subscription.applyDelta(change.subscribe, change.unsubscribe, change.initial);
			if (change.subscribe.length > 0 || change.unsubscribe.length > 0) this.#complete[place] = undefined;
			if (isDue) this.#look(place);
		} else if (!stale && subscription.applySotw(change.names)) this.#lookAnew(place);
		if (type === "rds" || type === "vhds") this.#followTables();
		this.#kick();
	}

	/** Envoy's one wildcard request for virtual hosts stands for all tables that it takes, now and later. */
	#followTables(): void {
		const place = pushOrder.indexOf("vhds");
		const hosts = this.#subscriptions[place];
		if (hosts?.wildcard && hosts.follow(this.#of("rds")?.names ?? noNames)) this.#lookAnew(place);
	}

	#look(place: number): void {
		this.#due |= 1 << place;
		this.#unsettled |= 1 << place;
	}

	/** The subscription itself has changed. */
	#lookAnew(place: number): void {
		this.#complete[place] = undefined;
		this.#look(place);
	}

	close(): void {
		this.#closed = true;
	}

	#answered(subscription: Subscription, place: number, request: ClientRequest): void {
		const answer = subscription.answer(request.nonce, request.error);
		if (answer === undefined) return;
		if (subscription.unanswered.length === 0) this.#unanswered &= ~(1 << place);
		if (request.error === undefined) this.#events.acked?.(subscription.type);
		else this.#events.nacked?.(subscription.type, request.error, answer.refused);
	}

	#kick(): void {
		this.#again = true;
		if (this.#running || this.#closed || !this.#view) return;
		this.#running = true;
		this.#run();
	}

	#run(): void {
		let waits = false;
		try {
			while (this.#again && !waits) {
				this.#again = false;
				waits = this.#step();
			}
		} finally {
			// In the same turn as the last look at `#again`: what comes in between would wait for ever.
			this.#running = waits;
		}
	}

	/** What a step waited for is there. */
	readonly #resume = (): void => {
		this.#again = true;
		this.#run();
	};

	/**
	 * Sends the first response in order that is due, or waits until it is this stream's turn: true. False when there is nothing
	 * to send now, as in most looks at a stream.
	 */
	#step(): boolean {
		const view = this.#view;
		if (this.#closed || view === undefined) return false;
		let isHeld = false;
		let hasTurn = false;
		// At most one round of a type is on its way: a slow client gets the newest state next, not every state.
		for (let left = this.#due & ~this.#unanswered; left !== 0; left &= left - 1) {
			const place = 31 - Math.clz32(left & -left);
			if (((1 << place) & bits.gated) !== 0 && this.#waitsForClusters()) {
				isHeld = true;
				continue;
			}
			if (!hasTurn) {
				const turn = this.#turns.next();
				if (turn) void turn.then(this.#resume);
				if (turn) return true;
				hasTurn = true;
			}
			this.#due &= ~(1 << place);
			if (!this.#isComplete(place, view) && this.#sendUpserts(place, view)) return true;
		}
		if (isHeld || this.#unanswered !== 0 || this.#waitsForClusters()) return false;
		for (let left = this.#unsettled; left !== 0; ) {
			const place = 31 - Math.clz32(left);
			left &= ~(1 << place);
			if (!this.#isComplete(place, view) && this.#sendRemovals(place, view)) return true;
		}
		this.#markSynced(view);
		return false;
	}

	/** Whether the view holds nothing of the type that the client lacks, or has and should not. */
	#isComplete(place: number, view: ResourceView): boolean {
		const known = this.#complete[place];
		if (known === undefined || known !== view.revision(pushOrder[place] as XdsType)) return false;
		this.#unsettled &= ~(1 << place);
		return true;
	}

	/** Everything of the view is sent, or goes now. Called in the turn in which that was worked out. */
	#markComplete(place: number, view: ResourceView): void {
		this.#subscriptions[place]?.settle(view);
		this.#complete[place] = view.revision(pushOrder[place] as XdsType);
		this.#unsettled &= ~(1 << place);
	}

	/** What `view` has that the client has not. Nothing is marked as sent yet. */
	#difference(place: number, view: ResourceView): Difference {
		const difference = (this.#subscriptions[place] as Subscription).difference(view, this.#complete[place]);
		if (difference.upsert.length === 0 && difference.remove.length === 0) this.#markComplete(place, view);
		return difference;
	}

	/** Clusters and endpoints of this view cannot be sent before the last ones are answered, or still warm: what names them waits as well. */
	#waitsForClusters(): boolean {
		return (this.#due & this.#unanswered & (bits.cds | bits.eds)) !== 0 || this.#gated();
	}

	#markSynced(view: ResourceView): void {
		if (this.#syncedVersion === view.version || this.#subscribed === 0) return;
		this.#syncedVersion = view.version;
		this.#events.synced?.();
	}

	/** False: there is nothing to send. */
	#sendUpserts(place: number, view: ResourceView): boolean {
		const subscription = this.#subscriptions[place] as Subscription;
		const { upsert, remove } = this.#difference(place, view);
		if (collectionTypes.has(subscription.type)) return this.#sendWhole(place, view, upsert, remove);
		const firstEver = subscription.lastNonce === "";
		if (upsert.length + remove.length === 0 && !firstEver) return false;
		// A name that was asked for and does not exist is answered at once; removals of what is in use wait (sendRemovals).
		const absent = remove.filter((name) => subscription.resend.has(name) || !subscription.sent.has(name));
		for (const name of absent) subscription.resend.delete(name);
		const then = subscription.type === "cds" ? () => this.#openGate(upsert, view) : undefined;
		if (this.protocol === "sotw") {
			const sent = subscription.type === "eds" ? [...upsert, ...absent.map(emptyAssignment)] : upsert;
			if (sent.length === 0 && !firstEver) return false;
			const keep = subscription.wildcard ? this.#kept(subscription, view, remove) : sent;
			this.#send(place, view, { resources: keep, removed: [] }, sent, then);
			return true;
		}
		if (upsert.length === 0 && absent.length === 0 && !(firstEver && subscription.wildcard)) return false;
		if (absent.length === remove.length) this.#markComplete(place, view);
		this.#sendChunks(place, view, upsert, absent, then);
		return true;
	}

	/** Members of collections: what goes makes room for what comes. */
	#sendWhole(place: number, view: ResourceView, upsert: readonly EncodedResource[], removed: readonly string[]): boolean {
		if (this.protocol === "sotw" || upsert.length + removed.length === 0) return false;
		// What comes next is compared with this view: a host that came and went since an older one would be overlooked.
		this.#markComplete(place, view);
		this.#send(place, view, { resources: upsert, removed }, upsert);
		return true;
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

	#sendChunks(place: number, view: ResourceView, upsert: readonly EncodedResource[], removed: readonly string[], then: (() => void) | undefined): void {
		const to = chunkEnd(upsert);
		if (to === upsert.length) return this.#send(place, view, { resources: upsert, removed }, upsert, then);
		const chunk = upsert.slice(0, to);
		this.#send(place, view, { resources: chunk, removed: [] }, chunk, () => this.#sendChunks(place, view, upsert.slice(to), removed, then));
	}

	#sendRemovals(place: number, view: ResourceView): boolean {
		const subscription = this.#subscriptions[place] as Subscription;
		if (collectionTypes.has(subscription.type)) return false;
		const { remove } = this.#difference(place, view);
		if (remove.length === 0) return false;
		if (this.protocol === "delta") {
			this.#send(place, view, { resources: [], removed: remove }, []);
			return true;
		}
		// In state of the world only CDS and LDS delete by absence; the rest goes with its parent.
		if (!subscription.wildcard) {
			for (const name of remove) subscription.sent.set(name, "");
			return false;
		}
		for (const name of remove) {
			subscription.sent.delete(name);
			this.#going.delete(`${subscription.type}/${name}`);
		}
		this.#send(place, view, { resources: [...view.all(subscription.type).values()], removed: [] }, []);
		return true;
	}

	/** `then`: before anything else is looked at. */
	#send(
		place: number,
		view: ResourceView,
		content: { readonly resources: readonly EncodedResource[]; readonly removed: readonly string[] },
		upsert: readonly EncodedResource[],
		then?: () => void,
	): void {
		const subscription = this.#subscriptions[place] as Subscription;
		const nonce = this.#nextNonce(view.version);
		const parts: ResponseParts = { type: subscription.type, version: view.version, nonce, ...content };
		const message = this.protocol === "delta" ? deltaResponse(parts) : sotwResponse(parts);
		subscription.markSent(nonce, view.version, this.#clock.nowMs(), upsert, content.removed);
		this.#unanswered |= 1 << place;
		if (this.protocol === "sotw" && subscription.wildcard) for (const r of upsert) this.#going.set(`${subscription.type}/${r.name}`, r);
		this.#sentForView++;
		this.#events.sent?.(subscription.type, content.resources.length, message.length);
		this.#then = then;
		this.#writingSinceMs = this.#clock.monotonicMs();
		this.#write(message, this.#written);
	}

	/** Counted from one in each version, so that in a push clients of one kind are sent the very same bytes. */
	#nextNonce(version: string): string {
		if (version !== this.#nonceVersion) this.#nonce = 0;
		this.#nonceVersion = version;
		return nonceText(version, ++this.#nonce);
	}

	/** With an error the stream is over: the transport reports its own end, and nothing more is sent. */
	readonly #written = (error?: Error | null): void => {
		const then = this.#then;
		this.#then = this.#writingSinceMs = undefined;
		if (error) this.#closed = true;
		if (!this.#closed) then?.();
		// The next part of a large response may be under way.
		if (this.#writingSinceMs === undefined) this.#resume();
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
		const eds = this.#of("eds");
		const serving = (this.#of("lds")?.lastNonce ?? "") !== "";
		if (!serving && eds === undefined) return;
		const added = new Set<string>();
		for (const { name } of clusters) {
			if (view.get("eds", name) === undefined) continue;
			if (eds?.names.has(name)) {
				eds.resend.add(name);
				this.#lookAnew(pushOrder.indexOf("eds"));
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
		const eds = this.#of("eds");
		const isUnderWay = (this.#unanswered & (bits.cds | bits.eds)) !== 0 || (this.#due & bits.eds) !== 0;
		const waiting = isUnderWay || ![...clusters].every((name) => eds?.names.has(name));
		if (waiting && this.#clock.monotonicMs() < untilMs) return true;
		this.#gate = undefined;
		return false;
	}
}

/** The nonces of one version: clients that have been sent as many responses share them. */
let nonces: { readonly version: string; readonly texts: string[] } = { version: "", texts: [] };

function nonceText(version: string, count: number): string {
	if (nonces.version !== version) nonces = { version, texts: [] };
	return (nonces.texts[count] ??= `${version}.${count}`);
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
