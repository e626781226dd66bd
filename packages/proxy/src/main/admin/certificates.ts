import { X509Certificate } from "node:crypto";
import type { CertificateSource, PeerValidation } from "../../config/tls.ts";
import type { ConfigStore } from "../config-store.ts";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

// Not from the pki package: its DER library would weigh in every proxy, for one admin page.
const splitCertificates = (pem: string) => pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];

const dayMs = 24 * 60 * 60 * 1000;

/** PEM; "" where there is none of a kind. */
interface CertificatesInForce {
	readonly path: string;
	readonly caPem: string;
	readonly chainPem: string;
}

/** `/certs`: envoy.admin.v3.Certificates of what is in force. */
export function showCertificates(_: AdminRequest, { clock, store }: AdminContext): AdminReply {
	const details = (pem: string, path: string) => splitCertificates(pem).flatMap((one) => detailsOf(one, path, clock.nowMs()));
	const certificates = certificatesInForce(store).map(({ path, caPem, chainPem }) => ({ ca_cert: details(caPem, path), cert_chain: details(chainPem, path) }));
	return { type: "application/json", body: `${JSON.stringify({ certificates }, undefined, 1)}\n` };
}

/** When the first of our own ends; undefined: there is none. */
export function firstExpiryMs(store: ConfigStore): number | undefined {
	const ends = certificatesInForce(store).flatMap(({ chainPem }) => splitCertificates(chainPem).flatMap((pem) => endOf(pem) ?? []));
	return ends.length === 0 ? undefined : Math.min(...ends);
}

function endOf(pem: string): number | undefined {
	try {
		return Date.parse(new X509Certificate(pem).validTo);
	} catch {
		// It cannot be read, and serves nobody.
		return undefined;
	}
}

function certificatesInForce(store: ConfigStore): readonly CertificatesInForce[] {
	const { secrets, listeners, clusters } = store.inForce;
	const ofSecrets = [...secrets.values()].map(({ name, certificate, validation }) => ({
		path: `<secret ${name}>`,
		caPem: validation?.caPem ?? "",
		chainPem: certificate?.certChainPem ?? "",
	}));
	const chains = [...listeners.values()].flatMap(({ filterChains, defaultFilterChain }) => [
		...filterChains,
		...(defaultFilterChain ? [defaultFilterChain] : []),
	]);
	const transports = [...clusters.values()].flatMap(({ cluster }) => [cluster.transport, ...cluster.transportMatches.map((one) => one.transport)]);
	const inlined = [...chains.map(({ tls }) => tls), ...transports.map((transport) => (transport.kind === "tls" ? transport.tls : undefined))];
	return [...ofSecrets, ...inlined.flatMap((tls) => (tls === undefined ? [] : inlineOf(tls)))];
}

function inlineOf({ certificates, validation }: { readonly certificates: readonly CertificateSource[]; readonly validation: PeerValidation | undefined }) {
	const path = "<inline>";
	const trust = validation?.trust;
	const own = certificates.flatMap((source) => (source.kind === "inline" ? [{ path, caPem: "", chainPem: source.certChainPem }] : []));
	return [...(trust?.kind === "inline" ? [{ path, caPem: trust.caPem, chainPem: "" }] : []), ...own];
}

/** Without fractions of a second, as certificates have none. */
const time = (ms: number) => new Date(ms).toISOString().replace(".000Z", "Z");

function detailsOf(pem: string, path: string, nowMs: number): readonly object[] {
	try {
		const certificate = new X509Certificate(pem);
		const expiresMs = Date.parse(certificate.validTo);
		const names = (certificate.subjectAltName ?? "").split(", ").filter(Boolean);
		return [
			{
				path,
				serial_number: certificate.serialNumber.toLowerCase(),
				subject_alt_names: names.map((name) =>
					name.startsWith("URI:") ? { uri: name.slice(4) } : name.startsWith("DNS:") ? { dns: name.slice(4) } : { ip_address: name.replace(/^[^:]*:/, "") },
				),
				days_until_expiration: String(Math.max(0, Math.floor((expiresMs - nowMs) / dayMs))),
				valid_from: time(Date.parse(certificate.validFrom)),
				expiration_time: time(expiresMs),
			},
		];
	} catch {
		// Shown as absent: a certificate that cannot be read serves nobody either.
		return [];
	}
}
