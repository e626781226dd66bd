import { randomBytes } from "node:crypto";
import type { ExternalSigner, SigningRequest } from "@weft/citadel";
import { hasStatus, isTemporary, type KubeClient, type KubeObject, resources } from "@weft/kube";
import type { Clock, Logger } from "@weft/runtime";

export interface KubernetesSignerOptions {
	readonly client: KubeClient;
	readonly clock: Clock;
	readonly logger: Logger;
	/** How long a signer may take; default 60 s, as istiod waits. */
	readonly timeoutMs?: number;
	/** Requests that are waited for at one time, more are told to come back; default 200. */
	readonly inFlightMax?: number;
}

interface Condition {
	readonly type: string;
	readonly status?: string;
	readonly reason?: string;
	readonly message?: string;
}

interface Status {
	readonly conditions?: readonly Condition[];
	/** Base64 of PEM. */
	readonly certificate?: string;
}

type Signed = Awaited<ReturnType<ExternalSigner["sign"]>>;

const type = resources.certificateSigningRequests;
/** The least that the API takes as expirationSeconds. */
const expirationSecondsMin = 600;
const firstLookMs = 50;
const looksMsMax = 1_000;
const pemBytesMax = 256 * 1024;
const needsRole = "the control plane's ClusterRole needs the signer's name (value global.certSigners)";

/**
 * Signs by the Kubernetes API: creates a CertificateSigningRequest, approves it, waits for the signer, and takes the request away
 * again, whatever came of it. https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
export function createKubernetesSigner(options: KubernetesSignerOptions): ExternalSigner {
	const { client, logger, inFlightMax = 200 } = options;
	let inFlight = 0;
	return {
		async sign(request) {
			if (inFlight >= inFlightMax) return refusal("busy", `${inFlightMax} certificates wait for their signers`);
			inFlight++;
			const name = `csr-workload-${randomBytes(8).toString("hex")}`;
			let isCreated = false;
			try {
				const created = await client.create(type, "", requestObject(name, request));
				isCreated = true;
				await approve(client, created, request.identity);
				return await outcome(options, name, request);
			} catch (error) {
				return failed(request.signerName, error);
			} finally {
				inFlight--;
				if (isCreated) await client.remove(type, "", name).catch((error: unknown) => logger.warn("signing request is left behind", { name, error }));
			}
		},
	};
}

const refusal = (cause: "sign" | "busy" | "unavailable", reason: string): Signed => ({ ok: false, cause, reason });

function requestObject(name: string, { csrPem, signerName, ttlMs, identity }: SigningRequest): KubeObject {
	return {
		metadata: { name, annotations: { "weft.dev/identity": identity } },
		spec: {
			request: Buffer.from(csrPem).toString("base64"),
			signerName,
			expirationSeconds: Math.max(expirationSecondsMin, Math.round(ttlMs / 1000)),
			usages: ["digital signature", "key encipherment", "server auth", "client auth"],
		},
	};
}

/** Somebody else may have written to the request meanwhile: then its new version is approved. */
async function approve(client: KubeClient, created: KubeObject, identity: string): Promise<void> {
	const approved = (object: KubeObject): KubeObject => {
		const { conditions = [], ...rest } = (object["status"] ?? {}) as Status;
		const condition = { type: "Approved", status: "True", reason: "WeftApproved", message: `the control plane has authenticated ${identity}` };
		return { ...object, status: { ...rest, conditions: [...conditions, condition] } };
	};
	try {
		await client.replace(type, "", approved(created), { subresource: "approval" });
	} catch (error) {
		if (!hasStatus(error, 409)) throw error;
		const fresh = await client.get(type, "", created.metadata.name);
		if (fresh === undefined) throw new Error("the signing request was taken away before it was approved", { cause: error });
		const conditions = ((fresh["status"] ?? {}) as Status).conditions ?? [];
		// Whoever denied it or approved it before us has decided.
		if (conditions.some(({ type: decided }) => decided === "Denied" || decided === "Approved")) return;
		await client.replace(type, "", approved(fresh), { subresource: "approval" });
	}
}

async function outcome(options: KubernetesSignerOptions, name: string, { signerName, signal }: SigningRequest): Promise<Signed> {
	const { client, clock, timeoutMs = 60_000 } = options;
	const startMs = clock.monotonicMs();
	for (let waitMs = firstLookMs; ; waitMs = Math.min(waitMs * 2, looksMsMax)) {
		const object = await client.get(type, "", name);
		if (object === undefined) return refusal("unavailable", `signer ${signerName}: the signing request was taken away before it was signed`);
		const { conditions = [], certificate = "" } = (object["status"] ?? {}) as Status;
		const against = conditions.find((condition) => condition.type === "Denied" || condition.type === "Failed");
		if (against !== undefined) {
			const { reason = "no reason given", message = "" } = against;
			return refusal(
				"sign",
				`signer ${signerName}: the request was ${against.type === "Denied" ? "denied" : "not signed"}: ${reason}${message === "" ? "" : `: ${message}`}`,
			);
		}
		if (certificate !== "") return signed(certificate, signerName);
		const waitedMs = clock.monotonicMs() - startMs;
		if (waitedMs >= timeoutMs) return refusal("unavailable", `signer ${signerName} has not signed within ${timeoutMs / 1000} s: is there such a signer?`);
		if (signal?.aborted)
			return refusal(
				"unavailable",
				`signer ${signerName} has not signed in the ${Math.round(waitedMs / 1000)} s that the caller waited: is there such a signer?`,
			);
		await clock.sleep(waitMs, signal);
	}
}

function signed(certificate: string, signerName: string): Signed {
	if (certificate.length > pemBytesMax) return refusal("sign", `signer ${signerName}: what it signed has ${certificate.length} bytes`);
	return { ok: true, value: Buffer.from(certificate, "base64").toString("utf8") };
}

function failed(signerName: string, error: unknown): Signed {
	const message = error instanceof Error ? error.message : String(error);
	if (isTemporary(error)) return refusal("unavailable", `signer ${signerName}: the Kubernetes API cannot be asked now: ${message}`);
	return refusal("sign", hasStatus(error, 403) ? `signer ${signerName}: ${message}; ${needsRole}` : `signer ${signerName}: ${message}`);
}
