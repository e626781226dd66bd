import { typeUrls } from "../type-urls.ts";

/** What the client wants of one type and what it has. */
export interface Subscription {
	readonly typeUrl: string;
	/** `*` by itself is said by naming nothing; among names it stands for all, too. */
	names: ReadonlySet<string> | "*";
	/** Versions of the resources that were accepted, for `initial_resource_versions`. */
	readonly versions: Map<string, string>;
	/** State of the world: the last accepted version, and the nonce to answer. */
	version: string;
	nonce: string;
	/** A request of this type went out on the present stream. */
	sent: boolean;
	/** Responses are applied one after another. */
	queue: Promise<void>;
}

export function createSubscription(typeUrl: string): Subscription {
	return { typeUrl, names: new Set(), versions: new Map(), version: "", nonce: "", sent: false, queue: Promise.resolve() };
}

export interface NameChange {
	readonly subscribe: readonly string[];
	readonly unsubscribe: readonly string[];
}

/** Puts the new names in place; undefined when nothing changed. */
export function changeNames(subscription: Subscription, names: readonly string[] | "*"): NameChange | undefined {
	const before = subscription.names;
	if (names === "*") {
		subscription.names = "*";
		return before === "*" ? undefined : { subscribe: [], unsubscribe: [] };
	}
	const after = new Set(names);
	subscription.names = after;
	// Who said it by naming nothing goes on with it when names come (xDS protocol, "Wildcard and Non-Wildcard subscriptions").
	const had = before === "*" ? new Set("*") : before;
	const subscribe = [...after].filter((name) => !had.has(name));
	const unsubscribe = [...had].filter((name) => !after.has(name));
	for (const name of unsubscribe) {
		if (name === "*") for (const held of subscription.versions.keys()) if (!after.has(held)) subscription.versions.delete(held);
		subscription.versions.delete(name);
		for (const held of takesCollections(subscription) ? subscription.versions.keys() : []) if (collectionOf(held) === name) subscription.versions.delete(held);
	}
	return subscribe.length + unsubscribe.length === 0 ? undefined : { subscribe, unsubscribe };
}

/** Virtual hosts are asked for by the name of their table, and come as `table/host`. */
const takesCollections = ({ typeUrl }: Subscription): boolean => typeUrl === typeUrls.vhds;

const collectionOf = (name: string): string => name.slice(0, Math.max(0, name.indexOf("/")));

/** Whether a resource of this name is one of those that were asked for. */
export function isWanted(subscription: Subscription, name: string): boolean {
	const { names } = subscription;
	return names === "*" || names.has("*") || names.has(name) || (takesCollections(subscription) && names.has(collectionOf(name)));
}

/** Clusters first, then what they need, then listeners and what those need: the order in which a proxy comes up. */
const typeOrder = ["Cluster", "ClusterLoadAssignment", "Listener", "ScopedRouteConfiguration", "RouteConfiguration", "VirtualHost", "Secret"];

export function compareTypes(a: string, b: string): number {
	const rank = (url: string) => {
		const at = typeOrder.indexOf(url.slice(url.lastIndexOf(".") + 1));
		return at < 0 ? typeOrder.length : at;
	};
	return rank(a) - rank(b);
}
