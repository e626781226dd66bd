import type { Clock } from "@weft/runtime";
import { Counter, Gauge, type Registry } from "prom-client";

/** Istio's names, so that its dashboards and alerts work unchanged. */
export interface CitadelMetrics {
	readonly csrCount: Counter;
	readonly authenticationFailureCount: Counter;
	readonly csrParsingErrorCount: Counter;
	readonly csrSignErrorCount: Counter<"error">;
	readonly successCertIssuanceCount: Counter;
}

export interface CitadelMetricsOptions {
	readonly registry: Registry;
	readonly clock: Clock;
	/** An authority may get another certificate while it runs. */
	readonly rootNotAfterMs: () => number;
	readonly chainNotAfterMs: () => number;
}

export function createCitadelMetrics({ registry, clock, rootNotAfterMs, chainNotAfterMs }: CitadelMetricsOptions): CitadelMetrics {
	const registers = [registry];
	const counter = (name: string, help: string) => new Counter({ name, help, registers });
	for (const [what, notAfterMs] of [
		["root_cert", rootNotAfterMs],
		["cert_chain", chainNotAfterMs],
	] as const) {
		const name = `citadel_server_${what}_expiry`;
		new Gauge({
			name: `${name}_timestamp`,
			help: `The unix timestamp, in seconds, when the ${what} expires.`,
			registers,
			collect() {
				this.set(Math.floor(notAfterMs() / 1000));
			},
		});
		new Gauge({
			name: `${name}_seconds`,
			help: `The seconds left until the ${what} expires, negative after.`,
			registers,
			collect() {
				this.set(Math.floor((notAfterMs() - clock.nowMs()) / 1000));
			},
		});
	}
	return {
		csrCount: counter("citadel_server_csr_count", "The number of CSRs received by Citadel server."),
		authenticationFailureCount: counter("citadel_server_authentication_failure_count", "The number of authentication failures."),
		csrParsingErrorCount: counter("citadel_server_csr_parsing_err_count", "The number of errors occurred when parsing the CSR."),
		csrSignErrorCount: new Counter({
			name: "citadel_server_csr_sign_err_count",
			help: "The number of errors occurred when signing the CSR.",
			labelNames: ["error"],
			registers,
		}),
		successCertIssuanceCount: counter("citadel_server_success_cert_issuance_count", "The number of certificates issued successfully."),
	};
}
