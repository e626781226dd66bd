import { Counter, Gauge, type Registry } from "prom-client";

/** Istio's names, so that its dashboards and alerts work unchanged. */
export interface CitadelMetrics {
	readonly csrCount: Counter;
	readonly authenticationFailureCount: Counter;
	readonly csrParsingErrorCount: Counter;
	readonly csrSignErrorCount: Counter<"error">;
	readonly successCertIssuanceCount: Counter;
	readonly rootCertExpiryTimestamp: Gauge;
	readonly certChainExpiryTimestamp: Gauge;
}

export function createCitadelMetrics(registry: Registry): CitadelMetrics {
	const registers = [registry];
	const counter = (name: string, help: string) => new Counter({ name, help, registers });
	const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
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
		rootCertExpiryTimestamp: gauge("citadel_server_root_cert_expiry_timestamp", "The unix timestamp, in seconds, when the root expires."),
		certChainExpiryTimestamp: gauge("citadel_server_cert_chain_expiry_timestamp", "The unix timestamp, in seconds, when the chain expires."),
	};
}
