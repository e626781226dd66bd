import { X509Certificate } from "node:crypto";
import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type MeshView, matchesLabels } from "./mesh-view.ts";

type Gateway = ConfigObject<"Gateway">;

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
	const byCertificate = new Map<string, Set<Gateway>>();
	for (const gateway of view.snapshot.all("Gateway")) {
		for (const key of certificatesOf(gateway)) byCertificate.set(key, (byCertificate.get(key) ?? new Set()).add(gateway));
	}
	return view.concerned("Gateway").flatMap((object) => {
		const sharing = new Set([...certificatesOf(object)].flatMap((key) => [...(byCertificate.get(key) ?? [])]));
		const others = [...sharing].filter((other) => other !== object && matchesLabels(other.spec.selector ?? {}, object.spec.selector ?? {}));
		return others.map((other) => {
			const message = `Duplicate certificate in multiple gateways [${nameOf(object)} ${nameOf(other)}] may cause 404s if clients re-use HTTP2 connections; join the gateways, or give each a certificate of its own`;
			return diagnosticAt(object, "warning", diagnosticCodes.duplicateGatewayCertificate, [], message);
		});
	});
}

const nameOf = ({ metadata }: Gateway) => `${metadata.namespace}/${metadata.name}`;

/** What tells a certificate from others: the Secret's name, or its files. */
function certificatesOf({ spec }: Gateway): ReadonlySet<string> {
	return new Set(
		(spec.servers ?? []).flatMap(({ tls }) => {
			if (tls?.credentialName) return tls.credentialName;
			return tls?.serverCertificate && tls.privateKey ? `${tls.serverCertificate}\0${tls.privateKey}` : [];
		}),
	);
}
