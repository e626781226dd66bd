import type { IngressBackend, IngressSpec } from "../schema/ingress.ts";
import { isIpAddress, wildcardDomainProblem } from "./names.ts";
import type { Report } from "./report.ts";
import { checkPort } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

// https://kubernetes.io/docs/concepts/services-networking/ingress/

export function checkIngress(report: Report, { rules, defaultBackend, tls }: IngressSpec): void {
	if (!rules?.length && !defaultBackend) report.error("an Ingress needs rules or a defaultBackend");
	if (defaultBackend) {
		checkBackend(report.at("defaultBackend"), defaultBackend);
		report
			.at("defaultBackend")
			.warn("defaultBackend is not served (nor by Istio), since it would take what other routes are for; write a rule without host, with path /");
	}
	for (const [i, rule] of (rules ?? []).entries()) {
		const at = report.at("rules", i);
		checkHost(at.at("host"), rule.host);
		if (!rule.http) at.warn("a rule without http leaves its host to the default backend, which is not served");
		else if (rule.http.paths.length === 0) at.at("http", "paths").error("a rule needs at least one path");
		for (const [j, { path, pathType, backend }] of (rule.http?.paths ?? []).entries()) {
			const place = at.at("http", "paths", j);
			if ((pathType === "Exact" || pathType === "Prefix") && !path?.startsWith("/")) place.at("path").error(`a path of type ${pathType} must begin with /`);
			checkBackend(place.at("backend"), backend);
		}
	}
	for (const [i, { hosts, secretName }] of (tls ?? []).entries()) {
		for (const [j, host] of (hosts ?? []).entries()) checkHost(report.at("tls", i, "hosts", j), host);
		if (!secretName) report.at("tls", i, "secretName").warn("without secretName this entry has no certificate, so it is left out");
	}
}

function checkHost(report: Report, host: string | undefined): void {
	if (!host) return;
	const problem = isIpAddress(host) ? `${quote(host)} is an IP address; an Ingress takes names` : wildcardDomainProblem(host);
	if (problem) report.error(problem);
}

function checkBackend(report: Report, { service, resource }: IngressBackend): void {
	if (service && resource) report.error("only one of service and resource may be set; keep one");
	if (!service && !resource) report.error("a backend needs a service");
	if (resource) report.at("resource").warn("resource backends are not supported; the path is left out");
	if (!service) return;
	const { name = "", number } = service.port ?? {};
	if (name !== "" && number) report.at("service", "port").error("only one of name and number may be set; keep one");
	if (name === "" && !number) report.at("service", "port").error("give the Service's port by number or name");
	checkPort(report.at("service", "port", "number"), number === 0 ? undefined : number);
}
