import { status } from "@grpc/grpc-js";
import { formatSpiffeId } from "@weft/pki";
import type { Logger } from "@weft/runtime";
import type { IstioCertificateRequest } from "@weft/xds/generated/istio/v1/auth/ca.ts";
import { type Authentication, type Authenticator, authenticate, type Caller } from "./authenticator.ts";
import type { IssuedLeaf, LeafIssuer } from "./certificate-authority.ts";
import type { CitadelMetrics } from "./metrics.ts";
import type { RateLimit } from "./rate-limit.ts";

export interface CreateCertificateContext {
	readonly authority: LeafIssuer;
	/** Asked in order; the first that accepts decides. */
	readonly authenticators: readonly Authenticator[];
	readonly rateLimit: RateLimit;
	/** By identity and address: many pods share a service account. */
	readonly callerRateLimit: { take(caller: string): boolean };
	readonly metrics: CitadelMetrics;
	readonly logger: Logger;
}

export type CreateCertificateDecision =
	/** Leaf, intermediates, root bundle last. */
	{ readonly code: status.OK; readonly certChain: readonly string[] } | { readonly code: Exclude<status, status.OK>; readonly message: string };

type Refusal = Exclude<CreateCertificateDecision, { readonly code: status.OK }>;

/** authenticate → authorize → template, sign, verify; one audit line for each decision, whatever it is. `signal`: the caller has gone. */
export async function createCertificate(
	context: CreateCertificateContext,
	caller: Caller,
	request: IstioCertificateRequest,
	signal?: AbortSignal,
): Promise<CreateCertificateDecision> {
	const { authority, metrics, logger } = context;
	metrics.csrCount.inc();
	const refuse = (refusal: Refusal, reason = refusal.message, identity?: string): Refusal => {
		logger.warn("certificate refused", { remote: caller.remoteAddress, code: status[refusal.code], identity: identity ?? "-", reason });
		return refusal;
	};
	const authentication = await authenticate(context.authenticators, caller);
	if (!authentication.ok) {
		metrics.authenticationFailureCount.inc();
		if ("isUnavailable" in authentication) {
			const message = "the token cannot be verified now, since the Kubernetes API server does not answer, or the issuer of tokens; try again";
			return refuse({ code: status.UNAVAILABLE, message }, authentication.reason);
		}
		// What exactly was wrong helps only whoever is guessing; it is in the audit log.
		return refuse({ code: status.UNAUTHENTICATED, message: "request authenticate failure" }, authentication.reason);
	}
	const identity = formatSpiffeId(authentication.value.identity);
	const forbidden = authorize(context, { ...authentication.value, remoteAddress: caller.remoteAddress }, request);
	if (forbidden !== undefined) return refuse(forbidden, forbidden.message, identity);
	const issued = await sign(context, authentication.value, request, signal);
	if (!("chainPem" in issued)) return refuse(issued, issued.message, identity);
	metrics.successCertIssuanceCount.inc();
	logger.info("certificate issued", {
		remote: caller.remoteAddress,
		identity,
		pod: authentication.value.pod ?? "-",
		authenticator: authentication.value.authenticator,
		serial: issued.serialNumber,
		notAfter: new Date(issued.notAfterMs).toISOString(),
	});
	return { code: status.OK, certChain: [...issued.chainPem, authority.trustBundlePem] };
}

// A caller gets its own identity and nothing else; what could ask for more is refused rather than passed over.
function authorize(
	context: CreateCertificateContext,
	caller: Authentication & Pick<Caller, "remoteAddress">,
	request: IstioCertificateRequest,
): Refusal | undefined {
	const { authority, rateLimit, callerRateLimit } = context;
	if (caller.identity.trustDomain !== authority.trustDomain) {
		return { code: status.PERMISSION_DENIED, message: `this authority issues for trust domain ${authority.trustDomain} only` };
	}
	if (metadataText(request, "ImpersonatedIdentity") !== "") {
		return { code: status.PERMISSION_DENIED, message: "caller may not impersonate another identity" };
	}
	if (metadataText(request, "CertSigner") !== "" && !authority.hasNamedSigners) {
		return { code: status.INVALID_ARGUMENT, message: "CertSigner is not supported: this authority signs with its own key" };
	}
	const address = caller.remoteAddress.replace(/:\d+$/, "");
	if (!callerRateLimit.take(`${formatSpiffeId(caller.identity)} ${address}`)) {
		return { code: status.RESOURCE_EXHAUSTED, message: "too many certificate requests of this workload, try again later" };
	}
	return rateLimit.take() ? undefined : { code: status.RESOURCE_EXHAUSTED, message: "too many certificate requests, try again later" };
}

function metadataText(request: IstioCertificateRequest, key: string): string {
	const metadata: unknown = request.metadata;
	if (typeof metadata !== "object" || metadata === null || !Object.hasOwn(metadata, key)) return "";
	const value: unknown = Reflect.get(metadata, key);
	return typeof value === "string" ? value : JSON.stringify(value);
}

async function sign(
	context: CreateCertificateContext,
	caller: Authentication,
	request: IstioCertificateRequest,
	signal: AbortSignal | undefined,
): Promise<IssuedLeaf | Refusal> {
	const { authority, metrics } = context;
	const ttlMs = Number(request.validityDuration) * 1000;
	if (ttlMs > authority.leafTtlMsMax) {
		metrics.csrSignErrorCount.inc({ error: "ttl_error" });
		const message = `requested TTL ${ttlMs / 1000} s is greater than the max allowed TTL ${authority.leafTtlMsMax / 1000} s`;
		return { code: status.INVALID_ARGUMENT, message };
	}
	const certSigner = metadataText(request, "CertSigner") || undefined;
	const leaf = await authority.issueLeaf({ identity: caller.identity, csrPem: request.csr, ttlMs, certSigner, signal });
	if (leaf.ok) return leaf.value;
	switch (leaf.cause) {
		case "csr":
			metrics.csrParsingErrorCount.inc();
			return { code: status.INVALID_ARGUMENT, message: leaf.reason };
		case "busy":
			return { code: status.RESOURCE_EXHAUSTED, message: leaf.reason };
		case "unavailable":
			metrics.csrSignErrorCount.inc({ error: "cert_gen_error" });
			return { code: status.UNAVAILABLE, message: leaf.reason };
		case "sign":
			metrics.csrSignErrorCount.inc({ error: "cert_gen_error" });
			return { code: status.INTERNAL, message: leaf.reason };
	}
}
