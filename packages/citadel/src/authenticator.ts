import type { X509Certificate } from "node:crypto";
import { accepted, type Checked, readCertificate, refused, type SpiffeId, spiffeIdOfCertificate } from "@weft/pki";
import type { Clock } from "@weft/runtime";

/** extendedKeyUsage id-kp-clientAuth (RFC 5280 §4.2.1.12). */
const clientAuth = "1.3.6.1.5.5.7.3.2";

/** What is known of the other side of a call before anyone believes it. */
export interface Caller {
	/** The leaf of a client chain that TLS has verified against the trust bundle; never an unverified one. */
	readonly verifiedCertificate: X509Certificate | undefined;
	readonly bearerToken: string | undefined;
	/** For the audit log only. */
	readonly remoteAddress: string;
}

export interface AuthenticatedCaller {
	readonly identity: SpiffeId;
	readonly pod?: string;
}

/** Nobody can tell now who is calling: the caller is not believed, and may come back. */
export interface Unverifiable {
	readonly ok: false;
	readonly reason: string;
	readonly isUnavailable: true;
}

export interface Authenticator {
	readonly name: string;
	/** The refusal says why; it goes to the audit log, not to the caller. */
	authenticate(caller: Caller): Promise<Checked<AuthenticatedCaller> | Unverifiable>;
}

export interface Authentication extends AuthenticatedCaller {
	readonly authenticator: string;
}

/** The first authenticator that accepts decides, as in istiod; otherwise every reason is told, in order. */
export async function authenticate(chain: readonly Authenticator[], caller: Caller): Promise<Checked<Authentication> | Unverifiable> {
	const reasons: string[] = [];
	let isUnavailable = false;
	for (const { name, authenticate: attempt } of chain) {
		const outcome = await attempt(caller);
		if (outcome.ok) return accepted({ ...outcome.value, authenticator: name });
		reasons.push(`${name}: ${outcome.reason}`);
		isUnavailable ||= "isUnavailable" in outcome;
	}
	const reason = reasons.length === 0 ? "no authenticator is configured" : reasons.join("; ");
	return isUnavailable ? { ok: false, reason, isUnavailable } : refused(reason);
}

export interface ClientCertificateAuthenticatorOptions {
	readonly clock: Clock;
	readonly trustDomain: string;
}

/** The SPIFFE ID of a verified client certificate, of this trust domain only. */
export function createClientCertificateAuthenticator({ clock, trustDomain }: ClientCertificateAuthenticatorOptions): Authenticator {
	return {
		name: "client-certificate",
		async authenticate({ verifiedCertificate }) {
			if (verifiedCertificate === undefined) return refused("no verified client certificate");
			// TLS looks at the dates once; a resumed session or a long connection outlives them.
			if (verifiedCertificate.validToDate.getTime() < clock.nowMs()) return refused("client certificate has expired");
			const identity = spiffeIdOfCertificate(verifiedCertificate);
			if (!identity.ok) return identity;
			const fields = readCertificate(verifiedCertificate);
			const usages = fields.ok ? fields.value.extKeyUsages : [];
			if (usages.length > 0 && !usages.includes(clientAuth)) return refused("the certificate is not for use as a client");
			if (identity.value.trustDomain !== trustDomain) return refused(`trust domain ${identity.value.trustDomain} is not ${trustDomain}`);
			return accepted({ identity: identity.value });
		},
	};
}
