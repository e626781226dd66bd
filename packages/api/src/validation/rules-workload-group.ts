import type { ProxyConfigSpec } from "../schema/proxy-config-resource.ts";
import type { WorkloadGroupSpec } from "../schema/workload-group.ts";
import { labelProblem } from "./names.ts";
import type { Report } from "./report.ts";
import { checkHeaderName, checkLabels, checkNonNegative, checkPort, checkSelectorLabels, checkSelectorSet } from "./rules-common.ts";
import { checkWorkloadEntry } from "./rules-service-entry.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/networking/workload-group/

export function checkWorkloadGroup(report: Report, { metadata, template, probe }: WorkloadGroupSpec): void {
	checkLabels(report.at("metadata", "labels"), metadata?.labels);
	for (const key of Object.keys(metadata?.annotations ?? {})) {
		const problem = labelProblem(key, "");
		if (problem) report.at("metadata", "annotations", key).error(problem.replace("label", "annotation"));
	}
	if (template.address) report.at("template", "address").warn("each workload's own address takes the place of this one; remove it");
	checkWorkloadEntry(report.at("template"), { ...template, address: "192.0.2.1" });
	if (!probe) return;
	const at = report.at("probe");
	for (const field of ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] as const) {
		checkNonNegative(at.at(field), probe[field]);
	}
	if (!probe.httpGet && !probe.tcpSocket && !probe.exec && !probe.grpc) at.error("the probe has no method; write httpGet, tcpSocket, exec or grpc");
	if (probe.httpGet) {
		const { port, scheme = "HTTP", httpHeaders } = probe.httpGet;
		checkPort(at.at("httpGet", "port"), port);
		if (!/^https?$/i.test(scheme)) at.at("httpGet", "scheme").error(`${quote(scheme)} must be HTTP or HTTPS`);
		for (const [i, header] of (httpHeaders ?? []).entries()) checkHeaderName(at.at("httpGet", "httpHeaders", i, "name"), header.name ?? "");
	}
	if (probe.tcpSocket) checkPort(at.at("tcpSocket", "port"), probe.tcpSocket.port);
	if (probe.grpc) checkPort(at.at("grpc", "port"), probe.grpc.port);
	if (probe.exec?.command.length === 0) at.at("exec", "command").error("the command is empty");
}

/** https://istio.io/latest/docs/reference/config/networking/proxy-config/ */
export function checkProxyConfigResource(report: Report, { selector, concurrency, image }: ProxyConfigSpec): void {
	checkSelectorLabels(report.at("selector", "matchLabels"), selector?.matchLabels);
	checkSelectorSet(report.at("selector"), selector, selector?.matchLabels);
	checkNonNegative(report.at("concurrency"), concurrency);
	const imageType = image?.imageType ?? "";
	if (imageType !== "" && !/^[\w.-]{1,128}$/.test(imageType)) report.at("image", "imageType").error(`${quote(imageType)} is no image type, like distroless`);
}
