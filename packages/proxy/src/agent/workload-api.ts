import { createPrivateKey } from "node:crypto";
import { decodeSpiffeId, splitPem } from "@weft/pki";
import { X509BundlesResponse, X509SVIDResponse } from "@weft/xds/generated/spiffe/workload/workload.ts";
import type { GrpcMethods, GrpcServerCall, GrpcServerEvents } from "../grpc/socket-server.ts";
import { grpcCode, grpcStatus } from "../grpc/status.ts";
import type { WorkloadCertificate } from "./workload-certificate.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

const service = "/SpiffeWorkloadAPI";
export const workloadApiPaths = {
	svids: `${service}/FetchX509SVID`,
	bundles: `${service}/FetchX509Bundles`,
	jwt: [`${service}/FetchJWTSVID`, `${service}/FetchJWTBundles`, `${service}/ValidateJWTSVID`],
} as const;

export interface WorkloadApi {
	readonly methods: GrpcMethods;
	/** Sends every open stream what holds now: the revocation lists have changed. */
	refresh(): void;
	/** No more renewals are pushed. */
	stop(): void;
}

const none = grpcStatus(grpcCode.unavailable, "the workload has no valid certificate");

/**
 * The X.509 half of the SPIFFE Workload API: an application of the pod gets the certificate of its own proxy, and each renewal.
 * https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md
 *
 * @param crlPem revocation lists that peers are held against; "" : none
 */
export function createWorkloadApi(identity: WorkloadIdentity, crlPem: () => string): WorkloadApi {
	const subscribers = new Set<() => void>();
	const refresh = () => {
		for (const push of subscribers) push();
	};
	const stop = identity.subscribe(refresh);
	const serve =
		(encode: (certificate: WorkloadCertificate, crl: Buffer[]) => Uint8Array) =>
		(call: GrpcServerCall): GrpcServerEvents => {
			let sent: Buffer | undefined;
			const push = () => {
				const { current } = identity;
				if (current === undefined) return call.end(none);
				const message = Buffer.from(encode(current, derOf(crlPem(), "X509 CRL")));
				// Other roots or lists say nothing new to a stream that carries neither.
				if (sent?.equals(message) === true) return;
				sent = message;
				call.send(message);
			};
			return {
				onMessage() {
					if (subscribers.has(push)) return call.end(grpcStatus(grpcCode.invalidArgument, "one request a call"));
					subscribers.add(push);
					push();
				},
				// The client has asked; the answers go on.
				onEnd: () => undefined,
				onClose: () => void subscribers.delete(push),
			};
		};
	// There is no issuer: the profile is as good as disabled (Workload API §1), and clients do not retry this status (Workload Endpoint, appendix A).
	const jwt = unimplemented("JWT-SVIDs are not implemented: this Workload API serves X.509-SVIDs");
	return {
		refresh,
		stop,
		methods: {
			[workloadApiPaths.svids]: secured(serve(encodeSvids)),
			[workloadApiPaths.bundles]: secured(serve(encodeBundles)),
			...Object.fromEntries(workloadApiPaths.jwt.map((path) => [path, secured(jwt)])),
		},
	};
}

type Method = GrpcMethods[string];
const silent: GrpcServerEvents = { onMessage: () => undefined, onEnd: () => undefined, onClose: () => undefined };

/** Against requests that somebody else has an application make: those cannot set the header (SPIFFE Workload Endpoint §6.2). */
const secured =
	(method: Method): Method =>
	(call) => {
		if (call.header("workload.spiffe.io") === "true") return method(call);
		call.end(grpcStatus(grpcCode.invalidArgument, "the metadata workload.spiffe.io: true is missing"));
		return silent;
	};

const unimplemented =
	(message: string): Method =>
	(call) => {
		call.end(grpcStatus(grpcCode.unimplemented, message));
		return silent;
	};

function encodeSvids(certificate: WorkloadCertificate, crl: Buffer[]): Uint8Array {
	const svid = {
		spiffeId: certificate.spiffeId,
		x509Svid: concatenated(certificate.certChainPem),
		x509SvidKey: createPrivateKey(certificate.privateKeyPem).export({ type: "pkcs8", format: "der" }),
		bundle: concatenated(certificate.rootsPem),
		hint: "",
	};
	return X509SVIDResponse.encode({ svids: [svid], crl, federatedBundles: {} }).finish();
}

function encodeBundles({ spiffeId, rootsPem }: WorkloadCertificate, crl: Buffer[]): Uint8Array {
	const id = decodeSpiffeId(spiffeId);
	if (!id.ok) throw new Error(id.reason);
	return X509BundlesResponse.encode({ crl, bundles: { [`spiffe://${id.value.trustDomain}`]: concatenated(rootsPem) } }).finish();
}

const derOf = (pem: string, label: string): Buffer[] => splitPem(pem).flatMap((block) => (block.label === label ? [block.der] : []));
const concatenated = (pem: string): Buffer => Buffer.concat(derOf(pem, "CERTIFICATE"));
