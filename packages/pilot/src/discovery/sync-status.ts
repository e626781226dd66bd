import type { XdsClient } from "@weft/xds/server";

/** What became of one push among the proxies that it concerned. */
export interface Convergence {
	/** Proxies that were sent something and have it in force. */
	readonly inForce: number;
	/** Proxies that the push changed nothing for. */
	readonly unaffected: number;
	/** Proxies that have not answered yet. */
	readonly pending: readonly string[];
	readonly refusals: readonly Refusal[];
}

export interface Refusal {
	readonly proxy: string;
	readonly type: string;
	readonly message: string;
	readonly resources: readonly string[];
}

/** Knows which proxies have which push, and lets others wait for it. */
export class SyncStatus {
	readonly #clients = new Set<XdsClient>();
	readonly #waiters = new Set<() => void>();
	/** Push version → its number; versions are numbers as text. */
	#latest = 0;
	#revision = 0;

	add(client: XdsClient): void {
		this.#clients.add(client);
		this.changed();
	}

	/** Another number whenever a proxy came, went, answered or was sent something. */
	get revision(): number {
		return this.#revision;
	}

	delete(client: XdsClient): void {
		this.#clients.delete(client);
		this.changed();
	}

	get clients(): ReadonlySet<XdsClient> {
		return this.#clients;
	}

	pushed(version: number): void {
		this.#latest = version;
		this.changed();
	}

	changed(): void {
		this.#revision++;
		for (const wake of [...this.#waiters]) wake();
	}

	/** Resolves when every proxy has push `version` or a later one whole, or when `signal` aborts. */
	async converged(version: number, signal: AbortSignal): Promise<Convergence> {
		while (!signal.aborted && !this.#done(version)) {
			await new Promise<void>((resolve) => {
				const wake = () => {
					this.#waiters.delete(wake);
					signal.removeEventListener("abort", wake);
					resolve();
				};
				this.#waiters.add(wake);
				signal.addEventListener("abort", wake, { once: true });
			});
		}
		return this.#report(version);
	}

	#done(version: number): boolean {
		if (this.#latest < version) return false;
		for (const client of this.#clients) if (Number(client.syncedVersion) < version) return false;
		return true;
	}

	#report(version: number): Convergence {
		const pending: string[] = [];
		const refusals: Refusal[] = [];
		let inForce = 0;
		let unaffected = 0;
		for (const client of this.#clients) {
			const proxy = client.node.id.split("~")[2] ?? client.node.id;
			const refused = client.states().filter((s) => s.nack);
			for (const { type, nack } of refused) refusals.push({ proxy, type, message: nack?.message ?? "", resources: nack?.names ?? [] });
			if (Number(client.syncedVersion) < version) pending.push(proxy);
			else if (client.sentForView === 0) unaffected++;
			else if (refused.length === 0) inForce++;
		}
		return { inForce, unaffected, pending, refusals };
	}
}
