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
export { type AuthorityPem, buildSelfSignedAuthority } from "./authority-material.ts";
export { callerOf, type IncomingCall } from "./call-identity.ts";
export {
	type CertificateAuthority,
	type CertificateAuthorityOptions,
	createCertificateAuthority,
	type IssuedLeaf,
	issueKeyedLeaf,
	type KeyedLeaf,
	type LeafRequest,
} from "./certificate-authority.ts";
export { addCertificateService, certificateServiceDefinition, type CertificateServiceOptions } from "./certificate-service.ts";
export { createFileKeyStore, type KeyStore } from "./key-store.ts";
export {
	createLocalTokenAuthenticator,
	issueLocalToken,
	loadOrCreateLocalTokenKey,
	type LocalTokenAuthenticatorOptions,
	type LocalTokenClaims,
	verifyLocalToken,
} from "./local-token.ts";
export { createServerIdentity, type ServerIdentity, type ServerIdentityOptions } from "./server-identity.ts";
export { createTokenReviewAuthenticator, type ReviewedToken, type TokenReviewAuthenticatorOptions } from "./token-review-authenticator.ts";
