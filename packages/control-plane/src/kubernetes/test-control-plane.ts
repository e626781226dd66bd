import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { type KubeClient, type KubeObject, resourceOf } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer } from "@weft/kube/testing";
import { buildCsr, generateKeys } from "@weft/pki";
import { createLogger, systemClock } from "@weft/runtime";
import { healthTypeUrl, typeUrls } from "@weft/xds";
import { DiscoveryRequest, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { IstioCertificateRequest, IstioCertificateResponse } from "@weft/xds/generated/istio/v1/auth/ca.ts";
import { type KubernetesControlPlane, startKubernetesControlPlane } from "./control-plane.ts";
import { type DiscoveryFlags, readKubernetesOptions } from "./environment.ts";

/** A control plane in this process. */
export interface TestControlPlane extends KubernetesControlPlane {
	readonly log: readonly string[];
	/** The roots as workloads find them. */
	rootsPem(): string;
	stop(): Promise<void>;
}

export const systemNamespace = "istio-system";
/** Under which the tests' clients expect the control plane. */
export const serverName = `istiod.${systemNamespace}.svc`;

const flags = {
	monitoringAddr: "127.0.0.1:0",
	grpcAddr: "",
	secureGRPCAddr: "127.0.0.1:0",
	httpsAddr: "127.0.0.1:0",
	httpAddr: "127.0.0.1:0",
	meshConfig: "/nonexistent/mesh",
	networksConfig: "/nonexistent/meshNetworks",
	domain: "cluster.local",
};

const environment = { POD_NAMESPACE: systemNamespace, ROOT_CA_DIR: "/nonexistent", PILOT_DEBOUNCE_AFTER: "10ms" };

/** With namespaces, a node, and the tokens of `token`. */
export async function startTestApi(): Promise<FakeApiServer> {
	const api = await startFakeApiServer();
	for (const name of ["default", systemNamespace, "kube-system"]) api.put(resourceOf("Namespace"), { metadata: { name } });
	api.put(resourceOf("Node"), { metadata: { name: "n1" }, status: { nodeInfo: { kubeletVersion: "v1.34.4" } } });
	api.handlers.set("tokenreviews", (review) => ({ body: { ...review, status: judge((review["spec"] as { token: string }).token) } }));
	return api;
}

/** Over an API server of the tests' own. */
export async function startTestControlPlane(api: FakeApiServer, extra: Readonly<Record<string, string>> = {}, clock = systemClock): Promise<TestControlPlane> {
	const plane = await startOver(api.client, extra, clock);
	return { ...plane, rootsPem: () => rootsOf(api, "default") ?? "" };
}

export async function startOver(
	client: KubeClient,
	extra: Readonly<Record<string, string>>,
	clock = systemClock,
	extraFlags: Partial<DiscoveryFlags> = {},
): Promise<Omit<TestControlPlane, "rootsPem">> {
	const stopping = new AbortController();
	const log: string[] = [];
	const controlPlane = await startKubernetesControlPlane({
		options: readKubernetesOptions({ ...flags, ...extraFlags }, { ...environment, POD_NAME: "istiod-1", ...extra }),
		client,
		clock,
		logger: createLogger({ write: (line) => log.push(line) }),
		signal: stopping.signal,
	}).catch((error: unknown) => {
		stopping.abort();
		throw error;
	});
	return {
		...controlPlane,
		log,
		async stop() {
			stopping.abort();
			await controlPlane.closed;
		},
	};
}

export function rootsOf(api: FakeApiServer, namespace: string): string | undefined {
	const object = api.get({ group: "", version: "v1", plural: "configmaps", kind: "ConfigMap", namespaced: true }, namespace, "istio-ca-root-cert");
	return (object?.["data"] as Readonly<Record<string, string>> | undefined)?.["root-cert.pem"];
}

interface TokenClaims {
	readonly ns: string;
	readonly sa: string;
	readonly pod?: string;
	readonly aud?: string;
}

/** Of the form that an API server issues; the fake one takes its word. */
export function token({ ns, sa, pod, aud = "istio-ca" }: TokenClaims): string {
	const claims = { exp: Math.floor(Date.now() / 1000) + 3600, aud: [aud], ns, sa, pod };
	return ["{}", JSON.stringify(claims), "signed"].map((part) => Buffer.from(part).toString("base64url")).join(".");
}

function judge(bearer: string): object {
	const [, payload = "", signature] = bearer.split(".");
	if (signature !== Buffer.from("signed").toString("base64url")) return { authenticated: false, error: "invalid bearer token, signature" };
	const { ns, sa, pod, aud } = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as TokenClaims;
	if (!(aud ?? "").includes("istio-ca")) return { authenticated: false, error: "token audiences do not match" };
	const extra = pod === undefined ? {} : { "authentication.kubernetes.io/pod-name": [pod], "authentication.kubernetes.io/pod-uid": ["u"] };
	return { authenticated: true, audiences: ["istio-ca"], user: { username: `system:serviceaccount:${ns}:${sa}`, extra } };
}

export function connect(address: string, rootsPem: string, keys?: { readonly key: string; readonly chain: string }): Client {
	const [key, chain] = keys ? [Buffer.from(keys.key), Buffer.from(keys.chain)] : [null, null];
	const options = { "grpc.ssl_target_name_override": serverName, "grpc.max_receive_message_length": 64 << 20 };
	return new Client(address, credentials.createSsl(Buffer.from(rootsPem), key, chain), options);
}

export function bearer(text: string | undefined): Metadata {
	const metadata = new Metadata();
	if (text !== undefined) metadata.set("authorization", `Bearer ${text}`);
	return metadata;
}

/** The chain, or the refusal. */
export async function requestCertificate(controlPlane: TestControlPlane, bearerToken: string | undefined): Promise<readonly string[] | ServiceError> {
	const csr = buildCsr({ keys: await generateKeys(), uris: ["spiffe://cluster.local/ns/istio-system/sa/istiod"] });
	const client = connect(controlPlane.secureAddress, controlPlane.rootsPem());
	const request = IstioCertificateRequest.fromPartial({ csr, validityDuration: "3600" });
	try {
		return await new Promise((resolve) => {
			client.makeUnaryRequest(
				"/istio.v1.auth.IstioCertificateService/CreateCertificate",
				(message: IstioCertificateRequest) => Buffer.from(IstioCertificateRequest.encode(message).finish()),
				(bytes: Buffer) => IstioCertificateResponse.decode(bytes),
				request,
				bearer(bearerToken),
				(error, response) => resolve(error ?? response?.certChain ?? []),
			);
		});
	} finally {
		client.close();
	}
}

export interface AdsQuestion {
	readonly token?: string;
	readonly namespace: string;
	readonly serviceAccount: string;
	readonly pod?: string;
	/** Default CDS. */
	readonly typeUrl?: string;
	readonly names?: readonly string[];
	/** Beside what is said of the pod. */
	readonly metadata?: Readonly<Record<string, unknown>>;
	/** Of the first request, as istioctl sends one. */
	readonly nonce?: string;
	/** Refuses every response with these words; undefined: acknowledges them. */
	readonly refuse?: () => string | undefined;
}

export interface AdsStream {
	/** That the workload is healthy, or why not, as Istio's agent says it. */
	health(problem: string | undefined): void;
	/** The answers so far. */
	readonly responses: readonly DiscoveryResponse[];
	/** How the stream ended, if it has. */
	readonly failure: () => ServiceError | undefined;
	close(): void;
}

/** A state-of-the-world stream with one subscription. */
export function openAds(controlPlane: TestControlPlane, question: AdsQuestion): AdsStream {
	const { namespace, serviceAccount, pod = "web-1", typeUrl = typeUrls.cds, names = [], nonce = "", refuse } = question;
	const client = connect(controlPlane.secureAddress, controlPlane.rootsPem());
	const stream = client.makeBidiStreamRequest(
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
		(message: object) => Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(message)).finish()),
		(bytes: Buffer) => DiscoveryResponse.decode(bytes),
		bearer(question.token),
	);
	const responses: DiscoveryResponse[] = [];
	let failure: ServiceError | undefined;
	stream.on("error", (error: ServiceError) => {
		failure = error;
	});
	stream.on("data", (response: DiscoveryResponse) => {
		responses.push(response);
		const message = refuse?.();
		const answer = message === undefined ? { versionInfo: response.versionInfo } : { errorDetail: { code: 13, message } };
		stream.write({ typeUrl, ...answer, responseNonce: response.nonce, resourceNames: names });
	});
	const metadata = {
		NAMESPACE: namespace,
		SERVICE_ACCOUNT: serviceAccount,
		NAME: pod,
		CLUSTER_ID: "Kubernetes",
		ISTIO_VERSION: "1.30.3",
		INSTANCE_IPS: "10.0.0.1",
		...question.metadata,
	};
	stream.write({
		node: { id: `sidecar~10.0.0.1~${pod}.${namespace}~${namespace}.svc.cluster.local`, metadata },
		typeUrl,
		resourceNames: names,
		responseNonce: nonce,
	});
	const health = (problem: string | undefined) =>
		void stream.write({ typeUrl: healthTypeUrl, ...(problem !== undefined && { errorDetail: { code: 500, message: problem } }) });
	const close = () => {
		stream.cancel();
		client.close();
	};
	return { responses, failure: () => failure, health, close };
}

export const service = (name: string): KubeObject => ({
	metadata: { name, namespace: "default" },
	spec: { clusterIP: "10.96.0.9", selector: { app: name }, ports: [{ name: "http", port: 80 }] },
});
