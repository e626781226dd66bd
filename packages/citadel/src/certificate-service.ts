import { type sendUnaryData, type Server, type ServerUnaryCall, type ServiceDefinition, status } from "@grpc/grpc-js";
import type { Clock, Logger } from "@weft/runtime";
import { IstioCertificateRequest, IstioCertificateResponse } from "@weft/xds/generated/istio/v1/auth/ca.ts";
import type { Registry } from "prom-client";
import type { Authenticator } from "./authenticator.ts";
import { callerOf } from "./call-identity.ts";
import type { LeafIssuer } from "./certificate-authority.ts";
import { type CreateCertificateContext, createCertificate } from "./create-certificate.ts";
import { createCitadelMetrics } from "./metrics.ts";
import { createCallerRateLimit, createRateLimit } from "./rate-limit.ts";

export const certificateServiceDefinition: ServiceDefinition = {
	createCertificate: {
		path: "/istio.v1.auth.IstioCertificateService/CreateCertificate",
		requestStream: false,
		responseStream: false,
		requestSerialize: (request: IstioCertificateRequest) => Buffer.from(IstioCertificateRequest.encode(request).finish()),
		requestDeserialize: (bytes: Buffer) => IstioCertificateRequest.decode(bytes),
		responseSerialize: (response: IstioCertificateResponse) => Buffer.from(IstioCertificateResponse.encode(response).finish()),
		responseDeserialize: (bytes: Buffer) => IstioCertificateResponse.decode(bytes),
	},
};

export interface CertificateServiceOptions {
	readonly authority: LeafIssuer;
	/** Asked in order; the first that accepts decides. */
	readonly authenticators: readonly Authenticator[];
	readonly clock: Clock;
	readonly logger: Logger;
	readonly registry: Registry;
	/** Certificates a second over all callers, and how many may come at once; default 200 and 2000, a large mesh starting together. */
	readonly perSecond?: number;
	readonly burst?: number;
	/** The same of one caller; default half of it. */
	readonly callerPerSecond?: number;
	readonly callerBurst?: number;
	/** Requests in work at one time, more are told to come back; default 1000. */
	readonly inFlightMax?: number;
}

/** Registers `istio.v1.auth.IstioCertificateService` on a gRPC server. Its bounds and metrics belong to this registration. */
export function addCertificateService(server: Server, options: CertificateServiceOptions): void {
	const { authority, authenticators, clock, logger, registry, perSecond = 200, burst = 2000, inFlightMax = 1_000 } = options;
	const { callerPerSecond = perSecond / 2, callerBurst = Math.max(1, burst / 2) } = options;
	const metrics = createCitadelMetrics({ registry, clock, rootNotAfterMs: () => authority.rootNotAfterMs, chainNotAfterMs: () => authority.chainNotAfterMs });
	const rateLimit = createRateLimit({ perSecond, burst, clock });
	const callerRateLimit = createCallerRateLimit({ perSecond: callerPerSecond, burst: callerBurst, clock });
	const context: CreateCertificateContext = { authority, authenticators, rateLimit, callerRateLimit, metrics, logger };
	let inFlight = 0;
	const handle = async (call: Call): Promise<Reply> => {
		if (inFlight >= inFlightMax) return [{ code: status.RESOURCE_EXHAUSTED, details: "too many certificate requests in flight" }];
		inFlight++;
		const gone = new AbortController();
		call.once("cancelled", () => gone.abort());
		try {
			const decision = await createCertificate(context, callerOf(call), call.request, gone.signal);
			if (decision.code !== status.OK) return [{ code: decision.code, details: decision.message }];
			return [null, { certChain: [...decision.certChain] }];
		} catch (error) {
			// A bug of ours or of an authenticator's must answer, and must not tell the caller about itself.
			logger.error("certificate request failed", { error });
			return [{ code: status.INTERNAL, details: "internal error" }];
		} finally {
			inFlight--;
		}
	};
	server.addService(certificateServiceDefinition, {
		createCertificate(call: Call, callback: sendUnaryData<IstioCertificateResponse>) {
			void handle(call).then(([error, response]) => callback(error, response));
		},
	});
}

type Call = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
type Reply = readonly [error: { readonly code: status; readonly details: string } | null, response?: IstioCertificateResponse];
