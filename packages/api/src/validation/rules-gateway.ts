import type { GatewaySpec, Server, ServerTLSSettings } from "../schema/gateway.ts";
import { isCipherSuite } from "./cipher-suites.ts";
import { isDnsLabel, isIpAddress, isSocketPath, wildcardDomainProblem } from "./names.ts";
import { checkProtocol, isHttpProtocol, isTlsProtocol } from "./protocols.ts";
import type { Report } from "./report.ts";
import { checkPort, warnOfNoLabel } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/networking/gateway/

export function checkGateway(report: Report, spec: GatewaySpec): void {
	if (!spec.servers?.length) report.at("servers").error("gateway must have at least one server");
	for (const [key, value] of Object.entries(spec.selector ?? {})) warnOfNoLabel(report.at("selector", key), key, value);
	const names = new Set<string>();
	for (const [i, server] of (spec.servers ?? []).entries()) {
		const at = report.at("servers", i);
		checkServer(at, server);
		const name = server.port.name;
		if (name && names.has(name)) at.at("port", "name").error(`port names in servers must be unique: duplicate name ${quote(name)}; rename one`);
		if (name) names.add(name);
	}
}

function checkServer(report: Report, server: Server): void {
	if (server.hosts.length === 0) report.at("hosts").error('a server must have at least one host; write "*" for any');
	for (const [i, host] of server.hosts.entries()) checkNamespacedHost(report.at("hosts", i), host, "gateway");
	checkBind(report, server);
	if (server.port.targetPort) report.at("port", "targetPort").error("targetPort has no impact on Gateways: the service's targetPort decides; remove it");
	if (!server.port.name) report.at("port", "name").error("the port's name must be set, like http");
	if (!server.port.protocol) report.at("port", "protocol").error("the port's protocol must be set, like HTTP");
	checkProtocol(report.at("port", "protocol"), server.port.protocol);
	const protocol = server.port.protocol ?? "";
	const tls = server.tls;
	if (isTlsProtocol(protocol) && !tls) report.at("tls").error(`a server of protocol ${protocol} must have tls settings; add them`);
	if (!tls) return;
	if (isHttpProtocol(protocol) && terminates(tls)) {
		report.at("tls").error(`a server of protocol ${protocol} cannot have tls settings other than httpsRedirect; set protocol HTTPS`);
	} else if (!isHttpProtocol(protocol) && !isTlsProtocol(protocol)) {
		report.at("tls").error(`a server of protocol ${protocol} cannot have tls settings; set protocol TLS`);
	}
	if (isTlsProtocol(protocol) && tls.httpsRedirect) {
		report.at("tls", "httpsRedirect").warn("httpsRedirect belongs to a plain HTTP server; move it there");
	}
	if (isTlsProtocol(protocol) && !(tls.httpsRedirect && tls.mode === undefined)) checkServerTls(report.at("tls"), tls);
}

/** A socket of the file system has no port, which is written as the number 0. */
function checkBind(report: Report, { bind, port }: Server): void {
	if (!bind?.startsWith("unix://")) {
		checkPort(report.at("port", "number"), port.number);
		if (bind && !isIpAddress(bind)) report.at("bind").error(`${quote(bind)} is no IP address to bind to`);
		return;
	}
	if (!isSocketPath(bind.slice("unix://".length))) report.at("bind").error(`${quote(bind)} needs an absolute path after unix://`);
	if (port.number !== 0) report.at("port", "number").error(`a unix socket has no port; write the number 0, not ${port.number}`);
}

/** Says that TLS ends here: by a mode, or by a certificate. */
function terminates({ mode, serverCertificate, privateKey, caCertificates }: ServerTLSSettings): boolean {
	if (serverCertificate || privateKey || caCertificates) return true;
	return mode !== undefined && mode !== "PASSTHROUGH" && mode !== "AUTO_PASSTHROUGH";
}

function checkCipherSuites(report: Report, names: readonly string[]): void {
	const unknown = new Set(names.filter((name) => !isCipherSuite(name)));
	if (unknown.size > 0) report.warn(`ignoring invalid cipher suites: [${[...unknown].sort().join(" ")}]`);
	const twice = new Set(names.filter((name, i) => !unknown.has(name) && names.indexOf(name) !== i));
	if (twice.size > 0) report.warn(`ignoring duplicate cipher suites: [${[...twice].sort().join(" ")}]`);
}

export function checkServerTls(report: Report, tls: ServerTLSSettings): void {
	const mode = tls.mode ?? "PASSTHROUGH";
	const files = tls.serverCertificate || tls.privateKey || tls.caCertificates;
	const named = tls.credentialName || tls.credentialNames?.length;
	checkVersions(report, tls);
	checkCipherSuites(report.at("cipherSuites"), tls.cipherSuites ?? []);
	if (tls.credentialName && tls.credentialNames?.length) report.at("credentialNames").error("only one of credentialName and credentialNames may be set");
	if ((tls.credentialNames?.length ?? 0) > 2) report.at("credentialNames").error("at most 2 credentials may be given: one RSA, one ECDSA");
	if (mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH") {
		if (files || named || tls.caCrl || tls.subjectAltNames?.length) report.warn(`${mode} mode does not use certificates; remove them, or change the mode`);
		return;
	}
	if (mode === "ISTIO_MUTUAL") {
		if (files || named) report.error("ISTIO_MUTUAL uses the mesh's own certificates; remove the certificates, or change the mode");
		return;
	}
	if (named && ((tls.serverCertificate && tls.privateKey) || tls.tlsCertificates?.length)) {
		report.error("only one of credentialName, credentialNames, serverCertificate with privateKey, and tlsCertificates may be given; keep one");
	}
	if (tls.caCrl && mode === "SIMPLE") {
		const message = "SIMPLE TLS checks no clients, so it has no use for a CRL; remove it";
		if (named) report.at("caCrl").warn(message);
		else report.at("caCrl").error(message);
	}
	if (named) return;
	if (tls.tlsCertificates?.length) return checkTlsCertificates(report, tls, mode);
	if (!tls.serverCertificate) report.at("serverCertificate").error(`${mode} TLS requires a server certificate; give credentialName or serverCertificate`);
	if (!tls.privateKey) report.at("privateKey").error(`${mode} TLS requires a private key; give credentialName or privateKey`);
	if (mode !== "SIMPLE" && !tls.caCertificates && !tls.caCertCredentialName) {
		report.at("caCertificates").error(`${mode} TLS requires a CA bundle to check clients by; give credentialName or caCertificates`);
	}
}

function checkTlsCertificates(report: Report, tls: ServerTLSSettings, mode: string): void {
	if (tls.serverCertificate || tls.privateKey) report.at("tlsCertificates").error("tlsCertificates cannot stand beside serverCertificate and privateKey");
	if ((tls.tlsCertificates?.length ?? 0) > 2) report.at("tlsCertificates").error("at most 2 certificates may be given: one RSA, one ECDSA");
	for (const [i, pair] of (tls.tlsCertificates ?? []).entries()) {
		const at = report.at("tlsCertificates", i);
		if (!pair.serverCertificate || !pair.privateKey) at.error("serverCertificate and privateKey must both be given");
	}
	if (mode !== "SIMPLE" && !tls.caCertificates && !tls.caCertCredentialName) {
		report.at("caCertificates").error(`${mode} TLS requires a CA bundle to check clients by; give caCertificates`);
	}
}

const versions = ["TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"];

function checkVersions(report: Report, tls: ServerTLSSettings): void {
	const low = versions.indexOf(tls.minProtocolVersion ?? "TLS_AUTO");
	const high = versions.indexOf(tls.maxProtocolVersion ?? "TLS_AUTO");
	if (/^TLSV1_[01]$/.test(tls.minProtocolVersion ?? "") && !tls.cipherSuites?.length) {
		report.at("minProtocolVersion").warn("TLS below 1.2 needs cipherSuites of its own: the default ones are for newer versions");
	}
	if (low >= 0 && high >= 0 && low > high) report.at("minProtocolVersion").error("minProtocolVersion is above maxProtocolVersion; swap them");
}

/** `namespace/host`; in a Gateway the namespace may be absent, in a Sidecar `~/*` means nothing. */
export function checkNamespacedHost(report: Report, text: string, use: "gateway" | "sidecar"): void {
	const parts = text.split("/");
	if (parts.length > 2 || (use === "sidecar" && parts.length !== 2)) {
		report.error(`${quote(text)} must be of the form namespace/host, like ./* or istio-system/*`);
		return;
	}
	const host = parts.at(-1) ?? "";
	const namespace = parts.length === 2 ? (parts[0] ?? "") : "*";
	const special = namespace === "*" || namespace === "." || (use === "sidecar" && namespace === "~");
	if (!special && !isDnsLabel(namespace)) report.error(`${quote(namespace)} is no namespace; write a name, "." for the own or "*" for all`);
	if (namespace === "~" && host !== "*") report.error(`"~" imports nothing and goes with "*" only; write ~/*`);
	const problem = isIpAddress(host) && use === "gateway" ? undefined : wildcardDomainProblem(host);
	if (problem) report.error(problem);
	else if (host !== "*" && !host.includes(".")) report.error(`short names (non FQDN) are not allowed: ${quote(host)}; write the name with its domain`);
	else if (host.includes("*") && host !== "*" && !host.startsWith("*.")) report.error(`partial wildcard ${quote(host)} not allowed; write *.domain`);
}
