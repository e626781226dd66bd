import { createHash } from "node:crypto";
import type { AuthorityPem } from "./authority-material.ts";
import { type DistributionReport, emptySlots, type KeySlots, type RetiringRoot, trustedRootsPem } from "./key-slots.ts";

/** File names to texts, as Istio's Secrets and directories have them. */
export type AuthorityFiles = Readonly<Record<string, string>>;

export const authorityFileNames = ["ca-key.pem", "ca-cert.pem", "cert-chain.pem", "root-cert.pem"] as const;
/** Ours, beside Istio's: there only while a rotation is under way. */
export const rotationFileNames = ["next-ca-key.pem", "rotation.json"] as const;

interface RotationRecord {
	readonly version: 1;
	/** Which ca-cert.pem this belongs to: whoever replaces that has ended our rotation. */
	readonly caCertSha256: string;
	readonly rootCertPem: string;
	readonly next: { readonly caCertPem: string; readonly certChainPem: string; readonly rootCertPem: string; readonly preparedAtMs: number } | undefined;
	readonly retiring: readonly RetiringRoot[];
	readonly reports: Readonly<Record<string, DistributionReport>>;
	readonly leavesUntilMs: number;
}

/** Istio's four files, root-cert.pem with every trusted root, so that an istiod that takes over trusts what we trust. */
export function encodeSlots(slots: KeySlots): AuthorityFiles {
	const { current, next, retiring, reports, leavesUntilMs } = slots;
	const files = { "ca-key.pem": current.caKeyPem, "ca-cert.pem": current.caCertPem, "cert-chain.pem": current.certChainPem };
	if (next === undefined && retiring.length === 0 && leavesUntilMs === 0) return { ...files, "root-cert.pem": current.rootCertPem };
	const record: RotationRecord = {
		version: 1,
		caCertSha256: digest(current.caCertPem),
		rootCertPem: current.rootCertPem,
		next: next && {
			caCertPem: next.authority.caCertPem,
			certChainPem: next.authority.certChainPem,
			rootCertPem: next.authority.rootCertPem,
			preparedAtMs: next.preparedAtMs,
		},
		retiring,
		reports,
		leavesUntilMs,
	};
	return {
		...files,
		"root-cert.pem": trustedRootsPem(slots).replaceAll(/\n{2,}/g, "\n"),
		...(next !== undefined && { "next-ca-key.pem": next.authority.caKeyPem }),
		"rotation.json": JSON.stringify(record),
	};
}

/** Throws with the name of the file that cannot be read. A record of another ca-cert.pem is left aside: somebody put a CA of theirs here. */
export function decodeSlots(current: AuthorityPem, files: AuthorityFiles): KeySlots {
	const text = files["rotation.json"] ?? "";
	if (text === "") return emptySlots(current);
	const record = parse(text);
	if (record.caCertSha256 !== digest(current.caCertPem)) return emptySlots(current);
	const { next, retiring, reports, leavesUntilMs, rootCertPem } = record;
	const nextKey = files["next-ca-key.pem"] ?? "";
	if (next !== undefined && nextKey === "") throw new Error("rotation.json names a next root, but next-ca-key.pem is missing");
	return {
		current: { ...current, rootCertPem },
		next: next && {
			authority: { caKeyPem: nextKey, caCertPem: next.caCertPem, certChainPem: next.certChainPem, rootCertPem: next.rootCertPem },
			preparedAtMs: next.preparedAtMs,
		},
		retiring,
		reports,
		leavesUntilMs,
	};
}

function parse(text: string): RotationRecord {
	try {
		const record = JSON.parse(text) as Partial<RotationRecord>;
		if (record.version === 1 && typeof record.rootCertPem === "string" && Array.isArray(record.retiring)) {
			return { reports: {}, leavesUntilMs: 0, next: undefined, caCertSha256: "", ...record } as RotationRecord;
		}
	} catch (cause) {
		throw new Error("rotation.json is not JSON", { cause });
	}
	throw new Error("rotation.json is of a version that this control plane does not know");
}

const digest = (text: string): string => createHash("sha256").update(text.trim()).digest("hex");
