import type { RemoteJwks } from "../../../config/jwt-authentication.ts";
import { Timer } from "../../transport/timers.ts";
import { AsyncRequest } from "../../upstream/async-request.ts";
import type { WorkerContext } from "../../worker/context.ts";
import type { Counter } from "../filter-inputs.ts";
import { type Jwks, parseJwks } from "./jwks.ts";
import type { JwtKeys } from "./jwt-keys.ts";
import { type JwtFailure, jwtStatus } from "./jwt-status.ts";

const bodyBytesMax = 1024 * 1024;
/** A set that is fetched ahead is fetched again this much before it is too old. */
const refetchAheadMs = 5000;

/** Keys that a server has, fetched over a cluster, and kept for a while. */
export class RemoteJwksFetcher implements JwtKeys {
	readonly #source: RemoteJwks;
	readonly #context: WorkerContext;
	readonly #count: { readonly success: Counter; readonly failed: Counter };
	readonly #waiting = new Set<(keys: Jwks | JwtFailure) => void>();
	readonly #timer: Timer;
	#keys: Jwks | undefined;
	#expiresAt = 0;
	#request: AsyncRequest | undefined;
	#retriesLeft = 0;

	constructor(source: RemoteJwks, context: WorkerContext, count: { readonly success: Counter; readonly failed: Counter }) {
		this.#source = source;
		this.#context = context;
		this.#count = count;
		this.#timer = new Timer(context.wheel, () => this.#fetch());
		// The snapshot that has the cluster is not in force yet.
		if (source.isAsync) this.#timer.arm(1);
	}

	get(onKeys: (keys: Jwks | JwtFailure) => void): () => void {
		if (this.#keys !== undefined && (this.#source.isAsync || this.#context.nowMs() < this.#expiresAt)) {
			onKeys(this.#keys);
			return () => {};
		}
		this.#waiting.add(onKeys);
		if (this.#request === undefined) {
			this.#retriesLeft = this.#source.retries;
			this.#fetch();
		}
		return () => void this.#waiting.delete(onKeys);
	}

	close(): void {
		this.#timer.disarm();
		this.#request?.cancel();
		this.#waiting.clear();
	}

	#fetch(): void {
		const { cluster: name, uri, timeoutMs } = this.#source;
		const cluster = this.#context.snapshot.clusters.get(name);
		if (cluster === undefined) return this.#done(`cluster ${name} is not known`);
		const { authority, path } = splitUri(uri);
		this.#request = new AsyncRequest(cluster, { method: "GET", authority, path, headers: [], timeoutMs, bodyBytesMax }, (result) => {
			this.#request = undefined;
			if (result.kind === "failed") return this.#done(result.reason);
			if (result.response.status !== 200) return this.#done(`status ${result.response.status}`);
			const keys = parseJwks(result.body.toString("utf8"));
			this.#done(keys);
		});
	}

	#done(keys: Jwks | string): void {
		const { isAsync, cacheMs, failedRefetchMs, uri } = this.#source;
		if (typeof keys === "string") {
			this.#count.failed();
			this.#context.log("jwt", "warn", "JWKS could not be fetched", { uri, reason: keys });
			if (this.#retriesLeft-- > 0) return this.#timer.arm(100);
			if (isAsync) this.#timer.arm(Math.max(failedRefetchMs, 1));
		} else {
			this.#count.success();
			this.#keys = keys;
			this.#expiresAt = this.#context.nowMs() + cacheMs;
			if (isAsync) this.#timer.arm(Math.max(cacheMs - refetchAheadMs, cacheMs / 2, 1));
		}
		const waiting = [...this.#waiting];
		this.#waiting.clear();
		for (const onKeys of waiting) onKeys(typeof keys === "string" ? jwtStatus.jwksFetch : keys);
	}
}

function splitUri(uri: string): { readonly authority: string; readonly path: string } {
	const match = /^(?:[a-z]+:\/\/)?([^/?]*)(.*)$/i.exec(uri);
	const path = match?.[2] ?? "";
	return { authority: match?.[1] ?? "", path: path === "" ? "/" : path };
}
