import type { BackendTLSPolicySpec, KubernetesGatewaySpec, Listener, ListenerSetSpec, ReferenceGrantSpec } from "../schema/gateway-api.ts";
import { isDnsSubdomain, isIpAddress, wildcardDomainProblem } from "./names.ts";
import type { Report } from "./report.ts";
import { checkPort } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

// What the Gateway API's own CRDs refuse: https://gateway-api.sigs.k8s.io/reference/spec/

const listenersMax = 64;
/** These carry no host name by which a listener could be chosen. */
const withoutHostname: ReadonlySet<string> = new Set(["TCP", "UDP"]);

export function checkKubernetesGateway(report: Report, spec: KubernetesGatewaySpec): void {
	if (spec.gatewayClassName === "") report.at("gatewayClassName").error("gatewayClassName must be set, like istio");
	checkListeners(report, spec.listeners, "Gateway");
}

export function checkListenerSet(report: Report, { parentRef, listeners }: ListenerSetSpec): void {
	const at = report.at("parentRef");
	if (parentRef.name === "") at.at("name").error("the Gateway must be named");
	const [group, kind] = [parentRef.group ?? "gateway.networking.k8s.io", parentRef.kind ?? "Gateway"];
	if (group !== "gateway.networking.k8s.io" || kind !== "Gateway")
		at.error(`listeners are added to a Gateway of gateway.networking.k8s.io, not to ${quote(`${kind}.${group}`)}`);
	checkListeners(report, listeners, "ListenerSet");
}

function checkListeners(report: Report, listeners: readonly Listener[], owner: "Gateway" | "ListenerSet"): void {
	if (listeners.length === 0) report.at("listeners").error(`a ${owner} must have at least one listener`);
	if (listeners.length > listenersMax) report.at("listeners").error(`a ${owner} may have ${listenersMax} listeners at most, not ${listeners.length}`);
	const names = new Set<string>();
	const places = new Set<string>();
	for (const [i, listener] of listeners.entries()) {
		const at = report.at("listeners", i);
		checkListener(at, listener);
		if (names.has(listener.name)) at.at("name").error(`listener names must be unique: ${quote(listener.name)} stands twice; rename one`);
		names.add(listener.name);
		const place = `${listener.port} ${listener.protocol} ${listener.hostname ?? ""}`;
		if (places.has(place)) at.error("another listener has the same port, protocol and hostname; change one");
		places.add(place);
	}
}

function checkListener(report: Report, { name, hostname, port, protocol, tls }: Listener): void {
	if (name === "") report.at("name").error("a listener must have a name");
	checkPort(report.at("port"), port);
	checkHostname(report.at("hostname"), hostname);
	if (hostname && withoutHostname.has(protocol)) report.at("hostname").error(`a listener of protocol ${protocol} can have no hostname; remove it`);
	if (tls && ["HTTP", ...withoutHostname].includes(protocol)) report.at("tls").error(`a listener of protocol ${protocol} can have no tls; remove it`);
	if (protocol === "HTTPS" && tls?.mode === "Passthrough")
		report.at("tls", "mode").error("an HTTPS listener terminates TLS; write protocol TLS to pass it through");
	const terminates = tls !== undefined && (tls.mode ?? "Terminate") === "Terminate";
	if (terminates && !tls.certificateRefs?.length && Object.keys(tls.options ?? {}).length === 0) {
		report.at("tls").error("mode Terminate needs certificateRefs; name the Secret that holds the certificate");
	}
	if ((protocol === "HTTPS" || protocol === "TLS") && !tls) report.at("tls").error(`a listener of protocol ${protocol} needs tls; add it`);
}

export function checkHostname(report: Report, hostname: string | undefined): void {
	if (!hostname) return;
	if (isIpAddress(hostname)) return report.error(`${quote(hostname)} is an IP address; only names are allowed here`);
	const problem = hostname === "*" ? 'write no hostname for "any"' : wildcardDomainProblem(hostname);
	if (problem) report.error(problem);
}

export function checkReferenceGrant(report: Report, { from, to }: ReferenceGrantSpec): void {
	if (from.length === 0) report.at("from").error("name at least one kind that may refer to objects of this namespace");
	if (to.length === 0) report.at("to").error("name at least one kind that may be referred to");
	for (const [i, entry] of from.entries()) if (entry.namespace === "") report.at("from", i, "namespace").error("the namespace must be set");
}

export function checkBackendTlsPolicy(report: Report, { targetRefs, validation }: BackendTLSPolicySpec): void {
	if (targetRefs.length === 0) report.at("targetRefs").error("name at least one Service");
	const at = report.at("validation");
	const refs = validation.caCertificateRefs?.length ?? 0;
	const wellKnown = validation.wellKnownCACertificates;
	if (refs > 0 && wellKnown) at.error("only one of caCertificateRefs and wellKnownCACertificates may be set; keep one");
	if (refs === 0 && !wellKnown) at.error("caCertificateRefs or wellKnownCACertificates must be set");
	if (wellKnown && wellKnown !== "System") at.at("wellKnownCACertificates").error(`${quote(wellKnown)} is not known; write System`);
	if (!isDnsSubdomain(validation.hostname)) at.at("hostname").error(`${quote(validation.hostname)} is no host name`);
	for (const [i, name] of (validation.subjectAltNames ?? []).entries()) {
		const [own, other] = name.type === "URI" ? ([name.uri, name.hostname] as const) : ([name.hostname, name.uri] as const);
		if (!own) at.at("subjectAltNames", i).error(`an alternative name of type ${name.type} needs ${name.type === "URI" ? "uri" : "hostname"}`);
		if (other) at.at("subjectAltNames", i).error(`an alternative name of type ${name.type} can have no ${name.type === "URI" ? "hostname" : "uri"}; remove it`);
	}
}
