import type { LeafIssuer } from "@weft/citadel";
import { joinTrustBundles, splitCertificates } from "@weft/pki";

/** Every root that the mesh trusts, for whoever hands them out. */
export interface TrustedRoots {
	pem(): string;
	/** One by one; the same array while they do not change. */
	list(): readonly string[];
	/** Returns the way to stop. */
	onChanged(listener: () => void): () => void;
}

export function createTrustedRoots(authority: Pick<LeafIssuer, "trustBundlePem" | "onChanged">): TrustedRoots {
	return listRoots(
		() => authority.trustBundlePem,
		(listener) => authority.onChanged(({ roots }) => roots && listener()),
	);
}

export function listRoots(pem: () => string, onChanged: TrustedRoots["onChanged"]): TrustedRoots {
	let listedOf = "";
	let listed: readonly string[] = [];
	return {
		pem,
		onChanged,
		list() {
			const now = pem();
			if (now !== listedOf) listed = splitCertificates(now);
			listedOf = now;
			return listed;
		},
	};
}

/** `own` and `more` as one bundle; what does not fit into it beside our own is left out. */
export function joinRoots(own: TrustedRoots, more: Pick<TrustedRoots, "pem" | "onChanged">): TrustedRoots {
	let joinedOf = ["", ""];
	let joined = "";
	const pem = () => {
		const parts = [own.pem(), more.pem()];
		if (parts.some((part, i) => part !== joinedOf[i])) joined = joinTrustBundles(parts).pem;
		joinedOf = parts;
		return joined;
	};
	return listRoots(pem, (listener) => {
		const leave = [own.onChanged(listener), more.onChanged(listener)];
		return () => leave.forEach((stop) => stop());
	});
}
