import { type AnyConfig, kindInfo } from "@weft/api";
import type { ChangedObject } from "@weft/galley";

/** The version of the push that each object came with as it is now: 0 for what was there from the beginning. */
export class PushedSince {
	/** One entry an object of Istio's kinds that changed since the start and is still there. */
	readonly #versions = new Map<string, number>();

	pushed(changed: readonly ChangedObject[], version: number): void {
		for (const { kind, namespace, name, op } of changed) {
			if (!kindInfo(kind).istio) continue;
			const key = `${kind}/${namespace}/${name}`;
			if (op === "delete") this.#versions.delete(key);
			else this.#versions.set(key, version);
		}
	}

	of({ kind, metadata: { namespace, name } }: AnyConfig): number {
		return this.#versions.get(`${kind}/${namespace}/${name}`) ?? 0;
	}
}
