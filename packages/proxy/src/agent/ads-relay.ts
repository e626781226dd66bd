import {
	ChannelCredentials,
	Client,
	type ClientDuplexStream,
	Metadata,
	type Server,
	type ServerDuplexStream,
	type ServiceDefinition,
	type ServiceError,
	type StatusObject,
	status,
} from "@grpc/grpc-js";
import type { Logger } from "@weft/runtime";
import { healthTypeUrl } from "@weft/xds";
import { DeltaDiscoveryRequest, DiscoveryRequest } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import type { CallHeaders } from "./agent-variables.ts";
import { controlPlaneServerName } from "./certificate-client.ts";
import { readTextSource, type TextSource } from "./text-source.ts";
import type { WorkloadCertificate } from "./workload-certificate.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

export interface AdsRelayOptions {
	/** host:port of the control plane's TLS port. */
	readonly discoveryAddress: string;
	/** Default `istiod.istio-system.svc`. */
	readonly serverName?: string;
	/** What the control plane's certificate must lead to, PEM; the roots of the workload's own count beside it. */
	readonly rootCert: TextSource;
	readonly identity: WorkloadIdentity;
	/** Goes with every stream. */
	readonly headers?: CallHeaders;
	readonly logger: Logger;
	/** Largest single message either way; default 64 MiB. */
	readonly messageBytesMax?: number;
	/** How long a new stream waits for the first certificate before it is refused; default 10 s. */
	readonly identityTimeoutMs?: number;
}

export const relayMessageBytesMax = 64 * 1024 * 1024;
const identityTimeoutMs = 10_000;

// Messages pass as the bytes they came in: the relay knows nothing of what it carries.
const identity = (bytes: Buffer): Buffer => bytes;

const method = (name: string) => ({
	path: `/envoy.service.discovery.v3.AggregatedDiscoveryService/${name}`,
	requestStream: true,
	responseStream: true,
	requestSerialize: identity,
	requestDeserialize: identity,
	responseSerialize: identity,
	responseDeserialize: identity,
});

export const adsServiceDefinition = {
	streamAggregatedResources: method("StreamAggregatedResources"),
	deltaAggregatedResources: method("DeltaAggregatedResources"),
} satisfies ServiceDefinition;

type Downstream = ServerDuplexStream<Buffer, Buffer>;
type Upstream = ClientDuplexStream<Buffer, Buffer>;

/**
 * Relays ADS streams to the control plane over mutual TLS with the workload's certificate. One connection a stream, so that each
 * new stream shows the newest certificate. Without an identity a stream is refused, never relayed without one.
 */
export function addAdsRelay(server: Server, options: AdsRelayOptions): AdsRelay {
	const health = createHealthReports();
	const relay = (path: string) => (downstream: Downstream) => {
		relayStream(downstream, path, options, health).catch((error: unknown) => {
			options.logger.error("ADS stream could not be relayed", { error });
			downstream.emit("error", { code: status.INTERNAL, details: "the agent could not relay this stream" });
		});
	};
	server.addService(adsServiceDefinition, {
		streamAggregatedResources: relay(adsServiceDefinition.streamAggregatedResources.path),
		deltaAggregatedResources: relay(adsServiceDefinition.deltaAggregatedResources.path),
	});
	return { reportHealth: health.report };
}

export interface AdsRelay {
	/** Tells the control plane, now and in every stream to come, that the workload is healthy (undefined), or why not. */
	reportHealth(problem: string | undefined): void;
}

/** The one message of the agent's own in Envoy's stream; its answer, which there is none of, would be Envoy's. */
interface HealthReports {
	readonly report: AdsRelay["reportHealth"];
	/** After the stream's first message, which names the node. Returns the way to stop. */
	join(upstream: Upstream, path: string): () => void;
}

function createHealthReports(): HealthReports {
	let last: { readonly problem: string | undefined } | undefined;
	const streams = new Set<() => void>();
	return {
		report(problem) {
			last = { problem };
			for (const send of streams) send();
		},
		join(upstream, path) {
			const messages = path === adsServiceDefinition.deltaAggregatedResources.path ? DeltaDiscoveryRequest : DiscoveryRequest;
			const send = () => {
				if (last === undefined) return;
				const errorDetail = last.problem === undefined ? undefined : { code: status.INTERNAL, message: last.problem, details: [] };
				upstream.write(
					Buffer.from(messages.encode(messages.fromPartial({ typeUrl: healthTypeUrl, errorDetail }) as DiscoveryRequest & DeltaDiscoveryRequest).finish()),
				);
			};
			streams.add(send);
			send();
			return () => void streams.delete(send);
		},
	};
}

/** Waits a while for the first certificate: Envoy starts with the agent, and its own back-off after a refusal would be longer. */
async function relayStream(downstream: Downstream, path: string, options: AdsRelayOptions, health: HealthReports): Promise<void> {
	const gone = new AbortController();
	downstream.once("cancelled", () => gone.abort());
	const limit = AbortSignal.any([gone.signal, AbortSignal.timeout(options.identityTimeoutMs ?? identityTimeoutMs)]);
	const certificate = await options.identity.ready(limit).catch(() => undefined);
	const refuse = (details: string) => {
		downstream.emit("error", { code: status.UNAVAILABLE, details });
		options.logger.info("ADS stream refused", { reason: details });
	};
	if (gone.signal.aborted) return;
	if (certificate === undefined) return refuse("the workload has no certificate yet");
	const rootsPem = await readTextSource(options.rootCert).catch((error: Error) => error);
	if (gone.signal.aborted) return;
	if (typeof rootsPem !== "string") return refuse(`roots of the control plane: ${rootsPem.message}`);
	openStream(downstream, path, connect(options, certificate, rootsPem), options, health);
}

function openStream(downstream: Downstream, path: string, client: Client, options: AdsRelayOptions, health: HealthReports): void {
	const { discoveryAddress, logger } = options;
	const metadata = new Metadata();
	for (const [name, value] of Object.entries(options.headers ?? {})) metadata.set(name, value);
	const upstream = client.makeBidiStreamRequest(path, identity, identity, metadata);
	logger.info("ADS stream opened", { address: discoveryAddress });
	let ended = false;
	let leave = () => {};
	const end = (how: string, details: string) => {
		if (ended) return false;
		ended = true;
		leave();
		client.close();
		logger.info("ADS stream ended", { by: how, details });
		return true;
	};
	relayDown(upstream, downstream, end);
	pump(downstream, upstream);
	downstream.once("data", () => {
		if (!ended) leave = health.join(upstream, path);
	});
	downstream.on("end", () => upstream.end());
	downstream.on("cancelled", () => {
		if (end("envoy", "cancelled")) upstream.cancel();
	});
	downstream.on("error", (error: Error) => {
		if (end("envoy", error.message)) upstream.cancel();
	});
}

// Whoever reads slowly holds its writer up, instead of filling memory here.
function pump(from: Downstream | Upstream, to: Downstream | Upstream): void {
	from.on("data", (message: Buffer) => {
		if (to.write(message)) return;
		from.pause();
		to.once("drain", () => from.resume());
	});
}

function relayDown(upstream: Upstream, downstream: Downstream, end: (how: string, details: string) => boolean): void {
	pump(upstream, downstream);
	upstream.on("error", ({ code, details, message }: ServiceError) => {
		if (end("control plane", message)) downstream.emit("error", { code, details });
	});
	upstream.on("status", ({ code, details }: StatusObject) => {
		// Failures have come as 'error' already.
		if (code === status.OK && end("control plane", details)) downstream.end();
	});
}

function connect(options: AdsRelayOptions, certificate: WorkloadCertificate, rootsPem: string): Client {
	const { serverName = controlPlaneServerName, messageBytesMax = relayMessageBytesMax } = options;
	const credentials = ChannelCredentials.createSsl(
		Buffer.from(`${rootsPem}\n${certificate.rootsPem}`),
		Buffer.from(certificate.privateKeyPem),
		Buffer.from(certificate.certChainPem),
	);
	return new Client(options.discoveryAddress, credentials, {
		"grpc.ssl_target_name_override": serverName,
		"grpc.default_authority": serverName,
		"grpc.max_receive_message_length": messageBytesMax,
		"grpc.max_send_message_length": messageBytesMax,
		// A control plane that vanished without a word is noticed in 40 s; Istio's agent uses the same.
		"grpc.keepalive_time_ms": 30_000,
		"grpc.keepalive_timeout_ms": 10_000,
		"grpc.enable_retries": 0,
		"grpc.enable_http_proxy": 0,
	});
}
