import type { FaultKeys } from "../../config/http-filters.ts";
import type { Fraction } from "../../config/matchers.ts";
import type { RuntimeValues } from "../../config/runtime-values.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { FaultAbort } from "./fault-decision.ts";

/** Below `fault.http.<cluster>.`, for requests of the cluster that `x-envoy-downstream-service-cluster` names. */
const keysOfClusters: Readonly<Partial<Record<keyof FaultKeys, string>>> = {
	delayPercent: "delay.fixed_delay_percent",
	delayMs: "delay.fixed_duration_ms",
	abortPercent: "abort.abort_percent",
	abortHttpStatus: "abort.http_status",
	abortGrpcStatus: "abort.grpc_status",
};

/** What the runtime says of faults, for all requests and for those of one calling cluster. */
export class RuntimeFaults {
	readonly #keys: FaultKeys;
	readonly #runtime: RuntimeValues;

	constructor(keys: FaultKeys, runtime: RuntimeValues) {
		this.#keys = keys;
		this.#runtime = runtime;
	}

	/** As in Envoy, a request that names its cluster is not asked about by the general key. */
	share(name: "delayPercent" | "abortPercent" | "responseRatePercent", configured: Fraction, head: RequestView): Fraction {
		if (this.#runtime.isEmpty) return configured;
		return this.#runtime.share(configured, this.#clusterKey(name, head) ?? this.#keys[name]);
	}

	integer(name: "delayMs", configured: number, head: RequestView): number {
		if (this.#runtime.isEmpty) return configured;
		const general = this.#runtime.integer(this.#keys[name], configured);
		const own = this.#clusterKey(name, head);
		return own === undefined ? general : this.#runtime.integer(own, general);
	}

	abort(configured: FaultAbort, head: RequestView): FaultAbort {
		if (this.#runtime.isEmpty) return configured;
		const name = configured.kind === "http" ? "abortHttpStatus" : "abortGrpcStatus";
		const key = this.#clusterKey(name, head) ?? this.#keys[name];
		return { ...configured, status: this.#runtime.integer(key, configured.status) };
	}

	#clusterKey(name: keyof FaultKeys, head: RequestView): string | undefined {
		const own = keysOfClusters[name];
		const cluster = own && head.get("x-envoy-downstream-service-cluster");
		return cluster === undefined ? undefined : `fault.http.${cluster}.${own}`;
	}
}
