import { appendFile } from "node:fs";
import type { Host } from "../../config/hosts.ts";
import type { HealthEvent } from "./health-decisions.ts";

export interface HealthEventRecord {
	readonly event: HealthEvent;
	readonly checker: "HTTP" | "GRPC" | "TCP";
	readonly cluster: string;
	readonly host: Host;
	readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
	readonly failureType: "ACTIVE" | "PASSIVE" | "NETWORK" | "NETWORK_TIMEOUT";
	readonly isFirst: boolean;
	readonly atMs: number;
}

/** Events that may wait for a slow disk; more are dropped. */
const waitingMax = 1000;

/** Lines of `envoy.data.core.v3.HealthCheckEvent` as JSON. */
export class HealthEventLog {
	readonly #onError: (path: string, error: Error) => void;
	#waiting = 0;

	constructor(onError: (path: string, error: Error) => void) {
		this.#onError = onError;
	}

	write(path: string, record: HealthEventRecord): void {
		if (path === "" || this.#waiting >= waitingMax) return;
		this.#waiting++;
		appendFile(path, `${JSON.stringify(eventJson(record))}\n`, (error) => {
			this.#waiting--;
			if (error !== null) this.#onError(path, error);
		});
	}
}

export function eventJson(record: HealthEventRecord): object {
	const { address } = record.host;
	return {
		health_checker_type: record.checker,
		host:
			address.kind === "pipe"
				? { pipe: { path: address.path, mode: 0 } }
				: {
						socket_address: {
							protocol: "TCP",
							address: address.address,
							resolver_name: "",
							ipv4_compat: false,
							port_value: address.port,
							network_namespace_filepath: "",
						},
					},
		cluster_name: record.cluster,
		...detail(record),
		timestamp: new Date(record.atMs).toISOString(),
		locality: { region: record.locality.region, zone: record.locality.zone, sub_zone: record.locality.subZone },
	};
}

function detail({ event, failureType, isFirst }: HealthEventRecord): object {
	switch (event) {
		case "ejectUnhealthy":
			return { eject_unhealthy_event: { failure_type: failureType } };
		case "addHealthy":
			return { add_healthy_event: { first_check: isFirst } };
		case "failure":
			return { health_check_failure_event: { failure_type: failureType, first_check: isFirst } };
		case "successful":
			return { successful_health_check_event: {} };
		case "degraded":
			return { degraded_healthy_host: {} };
		case "noLongerDegraded":
			return { no_longer_degraded_host: {} };
	}
}
