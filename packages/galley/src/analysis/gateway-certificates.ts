import { X509Certificate } from "node:crypto";
import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type MeshView, matchesLabels } from "./mesh-view.ts";

type Gateway = ConfigObject<"Gateway">;
type ServerTls = NonNullable<NonNullable<Gateway["spec"]["servers"]>[number]["tls"]>;

/** The Secret that a server names must be there, where the gateway's workload runs, and hold a certificate with its key. */
export function analyzeGatewayCredentials(view: MeshView): readonly Diagnostic[] {
	return view.concerned("Gateway").flatMap((object) => {
		const { selector = {}, servers = [] } = object.spec;
		const workload = view.workloads.find(({ labels }) => matchesLabels(labels, selector));
		if (!workload) return [];
		return servers.flatMap(({ tls }, i): readonly Diagnostic[] => {
			const credential = tls?.credentialName;
			// With a scheme it names something else than a Secret.
			if (!credential || credential.includes("://")) return [];
			const path = ["spec", "servers", i, "tls", "credentialName"];
			const slash = credential.indexOf("/");
			const namespace = slash < 0 ? workload.namespace : credential.slice(0, slash);
			const secret = view.snapshot.get("Secret", namespace, credential.slice(slash + 1));
			if (!secret) {
				const message = `Referenced credentialName not found: "${credential}"; add the Secret to namespace ${namespace}, or mend the name`;
				return [diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, path, message)];
			}
			if (holdsCertificate(secret)) return [];
			const message = `The credential referenced by the Gateway ${object.metadata.name} in namespace ${namespace} is invalid, which can cause the traffic not to work as expected; put a certificate and its key into the Secret`;
			return [diagnosticAt(object, "warning", diagnosticCodes.invalidGatewayCredential, path, message)];
		});
	});
}

/** Of type TLS, or with the fields `cert` and `key`. */
function holdsCertificate(secret: ConfigObject<"Secret">): boolean {
	const { data = {}, stringData = {} } = secret.spec;
	const field = (name: string): string | undefined =>
		Object.hasOwn(stringData, name) ? stringData[name] : Object.hasOwn(data, name) ? Buffer.from(data[name] ?? "", "base64").toString("utf8") : undefined;
	const pair = [field("tls.crt") ?? field("cert"), field("tls.key") ?? field("key")];
	if (!pair[0] || !pair[1]) return false;
	try {
		return new X509Certificate(pair[0]).raw.length > 0;
	} catch {
		// What node:crypto cannot read is what this function answers.
		return false;
	}
}

/** One certificate on two gateways of the same workloads: HTTP/2 clients use one connection for the hosts of both, and get 404. */
export function analyzeDuplicateCertificates(view: MeshView): readonly Diagnostic[] {
	const gateways = view.snapshot.all("Gateway");
	return gateways.flatMap((object) => {
		const others = gateways.filter((other) => other !== object && matchesLabels(other.spec.selector ?? {}, object.spec.selector ?? {}));
		return others.flatMap((other) => {
			const theirs = tlsOf(other);
			if (!tlsOf(object).some((mine) => theirs.some((tls) => isSameCertificate(mine, tls)))) return [];
			const message = `Duplicate certificate in multiple gateways [${nameOf(object)} ${nameOf(other)}] may cause 404s if clients re-use HTTP2 connections; join the gateways, or give each a certificate of its own`;
			return [diagnosticAt(object, "warning", diagnosticCodes.duplicateGatewayCertificate, [], message)];
		});
	});
}

const nameOf = ({ metadata }: Gateway) => `${metadata.namespace}/${metadata.name}`;
const tlsOf = ({ spec }: Gateway): readonly ServerTls[] => (spec.servers ?? []).flatMap(({ tls }) => tls ?? []);

function isSameCertificate(a: ServerTls, b: ServerTls): boolean {
	if (a.credentialName || b.credentialName) return a.credentialName === b.credentialName;
	return Boolean(a.serverCertificate && a.privateKey) && a.serverCertificate === b.serverCertificate && a.privateKey === b.privateKey;
}
