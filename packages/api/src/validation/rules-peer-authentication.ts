import type { PeerAuthenticationSpec } from "../schema/peer-authentication.ts";
import { isPort } from "./names.ts";
import type { Report } from "./report.ts";
import { checkSelectorLabels, checkSelectorSet } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/security/peer_authentication/

export function checkPeerAuthentication(report: Report, spec: PeerAuthenticationSpec): void {
	const labels = spec.selector?.matchLabels;
	checkSelectorLabels(report.at("selector", "matchLabels"), labels);
	checkSelectorSet(report.at("selector"), spec.selector, labels);
	if (!spec.portLevelMtls) return;
	const at = report.at("portLevelMtls");
	const ports = Object.keys(spec.portLevelMtls);
	if (ports.length === 0) at.error("port level mTLS, if defined, must have at least one port; remove it");
	else if (!labels || Object.keys(labels).length === 0) at.error("port level mTLS needs a selector: ports belong to a workload; add one");
	for (const port of ports) {
		if (!/^\d{1,5}$/.test(port) || !isPort(Number(port))) at.at(port).error(`${quote(port)} is no port; write one from 1 to 65535`);
	}
}
