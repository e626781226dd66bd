import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { DataSource } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { DiscoveryRequest, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { GrpcChannel } from "../grpc/channel.ts";
import type { GrpcEnvironment } from "../grpc/environment.ts";
import { statusText } from "../grpc/status.ts";
import type { CertificateSource } from "./given-identity.ts";
import { secretServicePaths } from "./secret-service.ts";
import { secretTypeUrl } from "./secrets.ts";
import type { GivenCertificate } from "./workload-certificate.ts";

export interface SecretClientOptions {
	/** Of the Unix socket. */
	readonly path: string;
	/** What the server is told that we are. */
	readonly nodeId: string;
	readonly environment: GrpcEnvironment;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
}

const connectTimeoutMs = 5_000;
const names = ["default", "ROOTCA"];

/**
 * The workload's certificate (`default`) and its roots (`ROOTCA`) from another's SDS server, such as SPIRE's agent: one
 * state-of-the-world stream, opened again with back-off when it ends. What it gave stays in force in the meantime.
 */
export function certificatesOverSds(options: SecretClientOptions): CertificateSource {
	return {
		name: `unix:${options.path}`,
		async run(take, signal) {
			const { clock, random, logger } = options;
			const backoff = createBackoff({ minMs: 100, maxMs: 10_000, random });
			while (!signal.aborted) {
				const ended = await follow(options, take, signal, () => backoff.reset());
				if (signal.aborted) return;
				const retryMs = backoff.nextMs();
				logger.warn("SDS stream ended", { socket: options.path, reason: ended, retryMs: Math.round(retryMs) });
				await clock.sleep(retryMs, signal);
			}
		},
	};
}

type Take = Parameters<CertificateSource["run"]>[0];

/** One stream until it ends; resolves to why. */
function follow({ path, nodeId, environment, logger }: SecretClientOptions, take: Take, signal: AbortSignal, onTaken: () => void): Promise<string> {
	const target = { endpoints: [{ kind: "pipe" as const, path }], authority: "localhost", connectTimeoutMs, tls: undefined };
	const channel = new GrpcChannel(target, environment);
	const { promise, resolve } = Promise.withResolvers<string>();
	const held: Partial<Record<keyof GivenCertificate, string>> = {};
	let version = "";
	const ask = (nonce: string, refusal?: string) => {
		const node = nonce === "" ? { id: nodeId } : undefined;
		const errorDetail = refusal === undefined ? undefined : { code: 3, message: refusal, details: [] };
		const request = { node, resourceNames: names, typeUrl: secretTypeUrl, versionInfo: version, responseNonce: nonce, errorDetail };
		call.send(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(request)).finish());
	};
	const call = channel.open(
		{ path: secretServicePaths.sotw },
		{
			onMessage(bytes) {
				const response = DiscoveryResponse.decode(bytes);
				const refusal = putSecrets(response, held) ?? offer(held, take, onTaken);
				if (refusal === undefined) version = response.versionInfo;
				else logger.error("certificate from the SDS socket is not taken", { socket: path, reason: refusal });
				ask(response.nonce, refusal);
			},
			onEnd(status) {
				channel.close();
				resolve(status.code === 0 ? "the server ended it" : statusText(status));
			},
		},
	);
	const abort = () => {
		call.cancel();
		channel.close();
		resolve("stopped");
	};
	signal.addEventListener("abort", abort, { once: true });
	ask("");
	return promise.finally(() => signal.removeEventListener("abort", abort));
}

/** Gives what is wrong with the response. */
function putSecrets({ resources, typeUrl }: DiscoveryResponse, held: Partial<Record<keyof GivenCertificate, string>>): string | undefined {
	if (typeUrl !== secretTypeUrl && resources.length > 0) return `the response is of type ${typeUrl}`;
	for (const { value } of resources) {
		const { name, tlsCertificate, validationContext } = Secret.decode(value);
		if (name === "default") {
			const certChainPem = textOf(tlsCertificate?.certificateChain);
			const privateKeyPem = textOf(tlsCertificate?.privateKey);
			if (certChainPem === undefined || privateKeyPem === undefined) return "the secret default has no certificate with its key in line";
			Object.assign(held, { certChainPem, privateKeyPem });
		} else if (name === "ROOTCA") {
			const rootsPem = textOf(validationContext?.trustedCa);
			if (rootsPem === undefined) return "the secret ROOTCA has no trusted_ca in line";
			held.rootsPem = rootsPem;
		}
	}
	return undefined;
}

/** Once both are there. */
function offer({ certChainPem, privateKeyPem, rootsPem }: Partial<GivenCertificate>, take: Take, onTaken: () => void): string | undefined {
	if (certChainPem === undefined || privateKeyPem === undefined || rootsPem === undefined) return undefined;
	const taken = take({ certChainPem, privateKeyPem, rootsPem });
	if (taken.ok) onTaken();
	return taken.ok ? undefined : taken.reason;
}

function textOf(source: DataSource | undefined): string | undefined {
	if (source?.inlineString !== undefined) return source.inlineString;
	return source?.inlineBytes === undefined ? undefined : Buffer.from(source.inlineBytes).toString("utf8");
}
