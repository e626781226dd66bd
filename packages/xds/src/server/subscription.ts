import type { XdsType } from "../type-urls.ts";
import { collectionTypes, type EncodedResource, type ResourceView, wildcardTypes } from "./resource.ts";
import { SentVersions } from "./sent-versions.ts";

export interface Difference {
	readonly upsert: readonly EncodedResource[];
	readonly remove: readonly string[];
}

/** What a response carried. */
interface Unanswered {
	readonly nonce: string;
	readonly upsert: readonly EncodedResource[];
	readonly removed: readonly string[];
}

/** What one client wants of one type, what it was sent, and what it has not answered yet. */
export class Subscription {
	readonly type: XdsType;
	readonly names = new Set<string>();
	wildcard = false;
	/** Names to send although their version is unchanged: the client asked again, or warms a cluster anew. */
	readonly resend = new Set<string>();
	/** Name → version in the client's hands; "" : it was told that there is none. */
	readonly sent = new SentVersions();
	/** Responses that were neither acknowledged nor refused: mostly one at most. */
	readonly unanswered: Unanswered[] = [];
	lastNonce = "";
	lastVersion = "";
	/** Of the last response that was acknowledged. */
	ackedNonce = "";
	/** When the last response was sent; epoch ms. */
	sentAtMs = 0;
	nack: { readonly message: string; readonly names: readonly string[] } | undefined;
	/** Set by the first request, for the legacy meaning of "no names". */
	started = false;

	readonly #takesCollections: boolean;

	constructor(type: XdsType) {
		this.type = type;
		this.#takesCollections = collectionTypes.has(type);
	}

	/** Delta: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds. True: something may have to be sent. */
	applyDelta(subscribe: readonly string[], unsubscribe: readonly string[], initial: Readonly<Record<string, string>>): boolean {
		const first = !this.started;
		if (first) {
			for (const [name, version] of Object.entries(initial)) this.sent.set(name, version);
			// A first request without names means everything (the legacy wildcard); of collections, those that the client's parents name.
			if (subscribe.length === 0 && (wildcardTypes.has(this.type) || this.#takesCollections)) this.wildcard = true;
		}
		this.started = true;
		for (const name of subscribe) {
			if (name === "*") this.wildcard = true;
			else {
				this.names.add(name);
				// A collection that is asked for once more begins anew.
				if (!first) this.#forgetMembers(name);
				// Asked (again) by name: an answer is due even if nothing changed, unless it told us its version at start.
				if (this.#hasAnswer(name) && !Object.hasOwn(initial, name)) this.resend.add(name);
			}
		}
		for (const name of unsubscribe) {
			if (name === "*") this.wildcard = false;
			this.names.delete(name);
			this.resend.delete(name);
			if (!this.wildcard) this.sent.delete(name);
			this.#forgetMembers(name);
		}
		return first || subscribe.length > 0;
	}

	/** A wildcard over collections (Envoy asks so for virtual hosts) means those of exactly these parents. True: there are more now. */
	follow(collections: ReadonlySet<string>): boolean {
		let hasMore = false;
		for (const name of this.names) {
			if (collections.has(name)) continue;
			this.names.delete(name);
			this.#forgetMembers(name);
		}
		for (const name of collections) {
			if (this.names.has(name)) continue;
			this.names.add(name);
			hasMore = true;
		}
		return hasMore;
	}

	/** Otherwise the name is answered because it is missing. */
	#hasAnswer(name: string): boolean {
		return this.#takesCollections || this.sent.has(name);
	}

	#forgetMembers(collection: string): void {
		if (!this.#takesCollections) return;
		for (const name of [...this.sent.names()]) if (name.startsWith(`${collection}/`) && !this.names.has(name)) this.sent.delete(name);
	}

	/** State of the world: the names are the whole subscription. True: it is another one. */
	applySotw(names: readonly string[]): boolean {
		const wanted = new Set(names);
		const everything = wildcardTypes.has(this.type) && (wanted.size === 0 || wanted.has("*"));
		wanted.delete("*");
		let changed = !this.started || everything !== this.wildcard;
		for (const name of this.names) {
			if (wanted.has(name)) continue;
			this.names.delete(name);
			if (!everything) this.sent.delete(name);
		}
		for (const name of wanted) {
			if (this.names.has(name)) continue;
			this.names.add(name);
			if (this.#hasAnswer(name)) this.resend.add(name);
			changed = true;
		}
		this.started = true;
		this.wildcard = everything;
		return changed;
	}

	/** What `view` has that the client has not. `complete`: the revision at which nothing was missing, if this is known. */
	difference(view: ResourceView, complete: unknown): Difference {
		const all = this.wildcard && !this.#takesCollections ? view.all(this.type) : undefined;
		const changes = all || complete === undefined || this.resend.size > 0 ? undefined : view.changes(this.type, complete);
		return changes ? this.#differenceIn(changes, view) : this.#wholeDifference(view, all);
	}

	/** Of these names alone. */
	#differenceIn(names: readonly string[], view: ResourceView): Difference {
		const upsert: EncodedResource[] = [];
		const remove: string[] = [];
		for (const name of names) {
			const isMember = this.#isMember(name);
			if (!isMember && !this.names.has(name)) continue;
			const resource = view.get(this.type, name);
			const sent = this.sent.get(name);
			if (resource) {
				if (sent !== resource.version) upsert.push(resource);
			} else if (isMember ? sent !== undefined : sent !== "") remove.push(name);
		}
		return { upsert, remove };
	}

	#wholeDifference(view: ResourceView, all: ReadonlyMap<string, EncodedResource> | undefined): Difference {
		const upsert: EncodedResource[] = [];
		const remove: string[] = [];
		const isFresh = this.sent.isEmpty && this.resend.size === 0;
		const offer = (resource: EncodedResource) => {
			if (isFresh || this.sent.get(resource.name) !== resource.version || this.resend.has(resource.name)) upsert.push(resource);
		};
		if (all) for (const resource of all.values()) offer(resource);
		for (const name of this.names) {
			const members = this.#takesCollections ? view.members(this.type, name) : undefined;
			if (members) {
				for (const member of members.values()) offer(member);
				remove.push(...this.#missing(name, members));
				continue;
			}
			if (all?.has(name)) continue;
			const resource = view.get(this.type, name);
			if (resource) offer(resource);
			else if (this.sent.get(name) !== "" || this.resend.has(name)) remove.push(name);
		}
		if (all) for (const name of this.sent.names()) if (!all.has(name) && !this.names.has(name) && this.sent.get(name) !== "") remove.push(name);
		return { upsert, remove };
	}

	/** The client has, or is just being sent, all that `view` has for it. */
	settle(view: ResourceView): void {
		const [only] = this.names;
		const members = this.#takesCollections && only !== undefined && this.names.size === 1 ? view.members(this.type, only) : undefined;
		if (members) this.sent.replace(members, []);
		else if (this.wildcard && !this.#takesCollections) this.sent.replace(view.all(this.type), this.names);
		else this.sent.release();
	}

	/** A name that comes with a collection, and was not asked for itself. */
	#isMember(name: string): boolean {
		return this.#takesCollections && !this.names.has(name) && this.names.has(name.slice(0, Math.max(0, name.indexOf("/"))));
	}

	/** What the client has of a collection and is there no more. An empty one is answered by its own name: Envoy waits for an answer. */
	#missing(collection: string, members: ReadonlyMap<string, EncodedResource>): readonly string[] {
		const gone: string[] = [];
		for (const name of this.sent.names()) if (name.startsWith(`${collection}/`) && !members.has(name) && !this.names.has(name)) gone.push(name);
		if (members.size === 0 && gone.length === 0 && this.resend.has(collection)) gone.push(collection);
		this.resend.delete(collection);
		return gone;
	}

	markSent(nonce: string, version: string, nowMs: number, upsert: readonly EncodedResource[], removed: readonly string[]): void {
		for (const resource of upsert) {
			this.sent.set(resource.name, resource.version);
			if (this.resend.size > 0) this.resend.delete(resource.name);
		}
		for (const name of removed) {
			if (this.names.has(name)) this.sent.set(name, "");
			else this.sent.delete(name);
			this.resend.delete(name);
		}
		this.lastNonce = nonce;
		this.lastVersion = version;
		this.sentAtMs = nowMs;
		this.unanswered.push({ nonce, upsert, removed });
	}

	/** Takes the client's answer to the response with this nonce: whether it was awaited, and the names that were refused. */
	answer(nonce: string, error: string | undefined): { readonly refused: readonly string[] } | undefined {
		const at = this.unanswered[0]?.nonce === nonce ? 0 : this.unanswered.findIndex((each) => each.nonce === nonce);
		const response = this.unanswered[at];
		if (response === undefined) return undefined;
		if (at === 0) this.unanswered.shift();
		else this.unanswered.splice(at, 1);
		if (error === undefined) {
			this.ackedNonce = nonce;
			if (this.unanswered.length === 0) this.nack = undefined;
			return accepted;
		}
		const refused = [...response.upsert.map(({ name }) => name), ...response.removed];
		this.nack = { message: error, names: refused };
		return { refused };
	}
}

const accepted = { refused: [] };
