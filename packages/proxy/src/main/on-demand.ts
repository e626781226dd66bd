import type { Clock, Logger } from "@weft/runtime";
import type { XdsClient } from "@weft/xds/client";
import { keyOf } from "../config/resource-source.ts";
import type { WantedKind } from "../config/worker-messages.ts";
import type { ConfigStore } from "./config-store.ts";
import { tableOfHost, tablesOf } from "./discovered-hosts.ts";
import { OnDemandNames } from "./on-demand-names.ts";

export interface OnDemandOptions {
	/** undefined: there is none. */
	readonly ads: XdsClient | undefined;
	/** Asks once more for what is subscribed to. */
	readonly askAgain: (what: WantedKind, key: string) => void;
	readonly store: ConfigStore;
	readonly clock: Clock;
	readonly logger: Logger;
	/** Has the subscriptions follow what is in `names`. */
	readonly follow: () => void;
	/** Whoever waits for these goes on: they are in force, or do not exist. */
	readonly onAnswered: (what: WantedKind, names: readonly string[]) => void;
}

/** What workers want by name, for requests and connections that wait there: asked of the control plane once for all of them. */
export class OnDemand {
	/** What is subscribed to because somebody wanted it. */
	readonly names: Readonly<Record<WantedKind, OnDemandNames>> = { host: new OnDemandNames(), cluster: new OnDemandNames(), routes: new OnDemandNames() };
	readonly #options: OnDemandOptions;
	#hasWarned = false;
	#isFollowDue = false;

	constructor(options: OnDemandOptions) {
		this.#options = options;
	}

	/** Somebody waits for this. False: it is in force, or cannot be asked for. */
	want(what: WantedKind, name: string): boolean {
		if (what !== "host" && this.#options.ads === undefined) return false;
		switch (what) {
			case "host":
				return this.#wantHost(name);
			case "cluster":
				return this.#wantCluster(name);
			case "routes":
				return this.#wantRoutes(name);
		}
	}

	/** They do not exist: whoever waits goes on without, and the next who wants them asks anew. */
	absent(what: WantedKind, names: readonly string[]): void {
		const { follow, onAnswered } = this.#options;
		const known = this.names[what].forget(names);
		if (known.length > 0) follow();
		onAnswered(what, what === "host" ? names : known);
	}

	/** Something came into force: whoever waited for it goes on. */
	settle(): void {
		const { cluster, routes } = this.names;
		const clusters = cluster.arrived((name) => this.#isServed(name));
		const tables = routes.arrived((name) => this.#isRouted(name));
		this.#options.onAnswered("cluster", clusters);
		this.#options.onAnswered("routes", tables);
	}

	/** `table/host`; known from then on by the key that the hosts of the table have. */
	#wantHost(name: string): boolean {
		const { ads, store } = this.#options;
		const table = tableOfHost(name);
		const vhds = tablesOf(store.wanted).get(table)?.vhds;
		if (!vhds || (ads === undefined && vhds.source?.kind !== "stream")) return false;
		const key = `${keyOf(vhds)}${name.slice(table.length)}`;
		if (store.wanted.virtualHosts.get(keyOf(vhds))?.has(key) === true) return false;
		return this.#ask("host", key, () => true);
	}

	#wantCluster(name: string): boolean {
		const { ads, store } = this.#options;
		// Neither no name nor `*` is a cluster's.
		if (name === "" || name === "*" || this.#isServed(name)) return false;
		if (ads?.mode === "sotw") return this.#cannotName();
		const { clusters } = store.wanted;
		return this.#ask("cluster", name, (cluster) => !clusters.has(cluster));
	}

	/** Of a scope whose table is fetched on demand, or has not come yet. */
	#wantRoutes(name: string): boolean {
		const { wanted } = this.#options.store;
		const users = [...(wanted.scopes?.values() ?? [])].filter(({ routes }) => routes.kind === "rds" && routes.name === name);
		if (users.length === 0 || this.#isRouted(name)) return false;
		const isSubscribed = users.some(({ onDemand }) => !onDemand);
		return this.#ask("routes", name, (table) => !wanted.routes.has(table), isSubscribed);
	}

	/** By every worker, and nothing of the cluster is waited for. */
	#isServed(cluster: string): boolean {
		const { acknowledged, waiting } = this.#options.store;
		return acknowledged.clusters.has(cluster) && !waiting.has(`cluster ${cluster}`);
	}

	#isRouted(table: string): boolean {
		const { acknowledged, waiting } = this.#options.store;
		return acknowledged.routes.has(table) && !waiting.has(`route table ${table}`);
	}

	/** In the state of the world nobody says that a name does not exist. */
	#cannotName(): false {
		if (!this.#hasWarned) this.#options.logger.warn("clusters on demand need an incremental stream: ads_config with DELTA_GRPC");
		this.#hasWarned = true;
		return false;
	}

	#ask(what: WantedKind, name: string, mayGo: (name: string) => boolean, isSubscribed = false): boolean {
		const { askAgain, clock } = this.#options;
		const wanting = this.names[what].want(name, clock.nowMs(), mayGo);
		if (wanting === "ask" && !isSubscribed) this.#followSoon();
		else if (wanting === "ask" || wanting === "again") askAgain(what, name);
		return wanting !== "full";
	}

	/** Many names that are wanted at a time are one request. */
	#followSoon(): void {
		if (this.#isFollowDue) return;
		this.#isFollowDue = true;
		setImmediate(() => {
			this.#isFollowDue = false;
			this.#options.follow();
		});
	}
}
