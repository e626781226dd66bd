import type { Clock, Logger } from "@weft/runtime";
import type { CertificateAuthority } from "./certificate-authority.ts";

const dayMs = 86_400_000;
/** Time enough to plan a new root, and for its owner to be found. */
const aheadMs = 60 * dayMs;

/**
 * Tells, once a day, of roots and of a signing chain that end within 60 days. A self-signed root is renewed long before; a
 * plugged-in one is its owner's to renew.
 */
export function createExpiryWarning(authority: Pick<CertificateAuthority, "state" | "chainNotAfterMs">, clock: Clock, logger: Logger): () => void {
	let toldMs = Number.NEGATIVE_INFINITY;
	return () => {
		const nowMs = clock.nowMs();
		// A clock that is set back tells again, too.
		if (Math.abs(nowMs - toldMs) < dayMs) return;
		toldMs = nowMs;
		const days = (untilMs: number) => Math.floor((untilMs - nowMs) / dayMs);
		const { trustBundle, material, slots } = authority.state;
		for (const root of trustBundle.roots) {
			const isRetiring = slots.retiring.some(({ rootCertPem }) => rootCertPem.includes(root.toString().trim()));
			const untilMs = root.validToDate.getTime();
			if (isRetiring || untilMs - nowMs > aheadMs) continue;
			logger.warn("root certificate expires soon: rotate it with weft ca rotate, or replace the plugged-in CA", {
				subject: root.subject,
				fingerprint: root.fingerprint256,
				notAfter: root.validTo,
				days: days(untilMs),
			});
		}
		const { certificate } = material.signer;
		const isOwnRoot = trustBundle.roots.some((root) => root.fingerprint256 === certificate.fingerprint256);
		// Intermediates live shorter by design: the last fifth of their life is what is late.
		const lifeMs = certificate.validToDate.getTime() - certificate.validFromDate.getTime();
		if (isOwnRoot || authority.chainNotAfterMs - nowMs > Math.min(aheadMs, lifeMs / 5)) return;
		const notAfter = new Date(authority.chainNotAfterMs).toISOString();
		logger.warn("signing certificate expires soon: replace the plugged-in CA", {
			subject: certificate.subject,
			notAfter,
			days: days(authority.chainNotAfterMs),
		});
	};
}
