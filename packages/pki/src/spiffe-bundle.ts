import { createPublicKey, X509Certificate } from "node:crypto";
import { accepted, type Checked, checkedCall, refused } from "./checked.ts";
import { decodeTrustBundle, rootsMax, type TrustBundle } from "./trust-bundle.ts";

/** The X.509 half of a SPIFFE trust bundle. */
export interface SpiffeBundle {
	readonly trust: TrustBundle;
	/** How soon whoever serves it wants to be asked again; undefined: it does not say. */
	readonly refreshHintMs: number | undefined;
}

type Fields = Record<string, unknown>;

/**
 * A JSON Web Key Set whose keys for `x509-svid` are authorities. Keys of other uses are for other documents and passed over; one
 * for X.509 that is not as it has to be refuses the whole, since half a bundle would refuse good peers.
 * https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md
 */
export function decodeSpiffeBundle(text: string): Checked<SpiffeBundle> {
	const parsed = checkedCall("SPIFFE bundle", (): unknown => JSON.parse(text));
	if (!parsed.ok) return parsed;
	const keys = isFields(parsed.value) ? parsed.value["keys"] : undefined;
	if (!isFields(parsed.value) || !Array.isArray(keys)) return refused("SPIFFE bundle: an object with the list keys is wanted");
	const pems: string[] = [];
	for (const [i, key] of keys.entries()) {
		if (!isFields(key) || key["use"] !== "x509-svid") continue;
		if (pems.length === rootsMax) return refused(`SPIFFE bundle: more than ${rootsMax} keys for x509-svid`);
		const root = decodeRoot(key);
		if (!root.ok) return refused(`SPIFFE bundle: keys[${i}]: ${root.reason}`);
		pems.push(root.value.toString());
	}
	if (pems.length === 0) return refused("SPIFFE bundle: it has no key for x509-svid");
	const trust = decodeTrustBundle(pems.join(""));
	if (!trust.ok) return trust;
	const hint = parsed.value["spiffe_refresh_hint"];
	return accepted({ trust: trust.value, refreshHintMs: typeof hint === "number" && Number.isSafeInteger(hint) && hint > 0 ? hint * 1000 : undefined });
}

function decodeRoot(key: Fields): Checked<X509Certificate> {
	const chain = key["x5c"];
	if (!Array.isArray(chain) || chain.length !== 1) return refused("x5c has to be exactly one certificate");
	const [der] = chain as readonly unknown[];
	if (typeof der !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(der)) return refused("x5c is no base64");
	const certificate = checkedCall("unreadable certificate", () => new X509Certificate(Buffer.from(der, "base64")));
	if (!certificate.ok) return certificate;
	const described = checkedCall("unreadable key", () => createPublicKey({ key, format: "jwk" }));
	if (!described.ok) return described;
	return described.value.equals(certificate.value.publicKey) ? certificate : refused("x5c is a certificate for another key");
}

function isFields(value: unknown): value is Fields {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
