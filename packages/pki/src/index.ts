export { type Signer, signCertificate, signSelf } from "./certificate.ts";
export { type CertificateFields, readCertificate, spiffeIdOfCertificate } from "./certificate-fields.ts";
export { chainLengthMax, type ChainParams, decodeChain, verifyChain } from "./chain.ts";
export { accepted, type Checked, checkedCall, refused } from "./checked.ts";
export { buildCsr, type Csr, csrBytesMax, type CsrRequest, decodeCsr, decodeNamedCsr, type RequestedNames } from "./csr.ts";
export type { SubjectAltNames } from "./extensions.ts";
export {
	decodePublicKey,
	encodePrivateKey,
	encodePublicKey,
	generateKeys,
	type KeyAlgorithm,
	keyAlgorithms,
	type KeyPair,
} from "./keys.ts";
export { verifyForeignOutput, verifyOwnOutput } from "./own-output.ts";
export { encodePem, type PemBlock, splitCertificates, splitPem } from "./pem.ts";
export { planRenewal, type RenewalPlan, renewalWaitMs, type RotationParams } from "./rotation.ts";
export { decodeSpiffeBundle, type SpiffeBundle } from "./spiffe-bundle.ts";
export { checkSpiffeId, decodeSpiffeId, formatSpiffeId, type SpiffeId } from "./spiffe-id.ts";
export {
	buildLeafTemplate,
	buildRootTemplate,
	type CertificateTemplate,
	clockSkewMs,
	type LeafParams,
	leafTtlMs,
	leafTtlMsMax,
	type RootParams,
	rootTtlMs,
} from "./template.ts";
export { decodeTrustBundle, joinTrustBundles, rootsMax, type TrustBundle } from "./trust-bundle.ts";
