import type { X509Certificate } from "node:crypto";
import { decodeTrustBundle } from "@weft/pki";
import type { Clock, Logger } from "@weft/runtime";
import type { CertificateAuthority } from "./certificate-authority.ts";

const dayMs = 86_400_000;
/** Time enough to plan a new root, and for its owner to be found. */
const aheadMs = 60 * dayMs;
const lookMs = 3_600_000;

/** At most once a day; a clock that is set back tells again, too. */
function daily(clock: Clock, tell: (nowMs: number) => void): () => void {
	let toldMs = Number.NEGATIVE_INFINITY;
	return () => {
		const nowMs = clock.nowMs();
		if (Math.abs(nowMs - toldMs) < dayMs) return;
		toldMs = nowMs;
		tell(nowMs);
	};
}

const daysLeft = (untilMs: number, nowMs: number): number => Math.floor((untilMs - nowMs) / dayMs);

function warnOfRoots(roots: readonly X509Certificate[], nowMs: number, logger: Logger, advice: string): void {
	for (const root of roots) {
		const untilMs = root.validToDate.getTime();
		if (untilMs - nowMs > aheadMs) continue;
		const { subject, fingerprint256: fingerprint, validTo: notAfter } = root;
		logger.warn(`root certificate expires soon: ${advice}`, { subject, fingerprint, notAfter, days: daysLeft(untilMs, nowMs) });
	}
}

/** Tells, once a day, of roots (PEM) whose keys are not ours and that end within 60 days, until `signal` aborts. */
export async function runForeignRootWarning(pem: () => string, advice: string, clock: Clock, logger: Logger, signal: AbortSignal): Promise<void> {
	const warn = daily(clock, (nowMs) => {
		const bundle = decodeTrustBundle(pem());
		if (bundle.ok) warnOfRoots(bundle.value.roots, nowMs, logger, advice);
	});
	while (!signal.aborted) {
		warn();
		await clock.sleep(lookMs, signal);
	}
}

/**
 * Tells, once a day, of roots and of a signing chain that end within 60 days. A self-signed root is renewed long before; a
 * plugged-in one is its owner's to renew.
 */
export function createExpiryWarning(authority: Pick<CertificateAuthority, "state" | "chainNotAfterMs">, clock: Clock, logger: Logger): () => void {
	return daily(clock, (nowMs) => {
		const { trustBundle, material, slots } = authority.state;
		const isRetiring = (root: X509Certificate) => slots.retiring.some(({ rootCertPem }) => rootCertPem.includes(root.toString().trim()));
		const staying = trustBundle.roots.filter((root) => !isRetiring(root));
		warnOfRoots(staying, nowMs, logger, "rotate it with weft ca rotate, or replace the plugged-in CA");
		const { certificate } = material.signer;
		const isOwnRoot = trustBundle.roots.some((root) => root.fingerprint256 === certificate.fingerprint256);
		// Intermediates live shorter by design: the last fifth of their life is what is late.
		const lifeMs = certificate.validToDate.getTime() - certificate.validFromDate.getTime();
		if (isOwnRoot || authority.chainNotAfterMs - nowMs > Math.min(aheadMs, lifeMs / 5)) return;
		logger.warn("signing certificate expires soon: replace the plugged-in CA", {
			subject: certificate.subject,
			notAfter: new Date(authority.chainNotAfterMs).toISOString(),
			days: daysLeft(authority.chainNotAfterMs, nowMs),
		});
	});
}
