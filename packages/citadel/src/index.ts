export {
	type AuthenticatedCaller,
	type Authentication,
	authenticate,
	type Authenticator,
	type Caller,
	type ClientCertificateAuthenticatorOptions,
	createClientCertificateAuthenticator,
	type Unverifiable,
} from "./authenticator.ts";
export { type AuthorityMaterial, type AuthorityPem, buildSelfSignedAuthority, decodeAuthority } from "./authority-material.ts";
export { callerOf, type IncomingCall } from "./call-identity.ts";
export {
	type AuthorityChange,
	type CertificateAuthority,
	type CertificateAuthorityOptions,
	createCertificateAuthority,
	type IssuedLeaf,
	issueKeyedLeaf,
	type KeyedLeaf,
	type LeafIssuer,
	type LeafRequest,
} from "./certificate-authority.ts";
export { addCertificateService, certificateServiceDefinition, type CertificateServiceOptions } from "./certificate-service.ts";
export { createFileServerIdentity, type FileServerIdentity, type FileServerIdentityOptions } from "./file-server-identity.ts";
export { emptySlots, type KeySlots, type RotationPhase, type RotationTimes } from "./key-slots.ts";
export { createFileKeyStore, createMemoryKeyStore, type KeyStore, type StoredSlots } from "./key-store.ts";
export { createSigningPool, inlineLeafSigner, type LeafSigner } from "./leaf-signer.ts";
export { createJwtAuthenticator, decodeJwtRule, type JwtAuthenticatorOptions, type JwtRule } from "./jwt-authenticator.ts";
export {
	createLocalTokenAuthenticator,
	issueLocalToken,
	loadOrCreateLocalTokenKey,
	type LocalTokenAuthenticatorOptions,
	type LocalTokenClaims,
	verifyLocalToken,
} from "./local-token.ts";
export { type AuthorityStatus, createRootRotation, type ProxyCounts, type RootRotation, type RootRotationOptions, type RootStatus } from "./root-rotation.ts";
export { createRegistrationAuthority, type ExternalSigner, type RegistrationAuthorityOptions, type SigningRequest } from "./registration-authority.ts";
export { runForeignRootWarning } from "./expiry-warning.ts";
export { createServerIdentity, type ServerIdentity, type ServerIdentityOptions } from "./server-identity.ts";
export { type AuthorityFiles, authorityFileNames, decodeSlots, encodeSlots, rotationFileNames } from "./slot-files.ts";
export { createTokenReviewAuthenticator, type ReviewedToken, type TokenReviewAuthenticatorOptions } from "./token-review-authenticator.ts";
