import { createServer } from "node:http";
import { authenticate } from "@weft/citadel";
import type { Diagnostic } from "@weft/api";
import { createStore, watchDirectory } from "@weft/galley";
import type { KubeClient } from "@weft/kube";
import { createAutoRegistration, createDiscovery, createRegistrations, objectChecks } from "@weft/pilot";
import type { Clock, Logger } from "@weft/runtime";
import { collectDefaultMetrics, Registry } from "prom-client";
import type { DebugContext } from "../debug/context.ts";
import { createDebugAnswers } from "../debug/xds-answers.ts";
import { type SecureServing, startGrpcServers } from "../grpc-servers.ts";
import { sendReadiness, sendText } from "../http-context.ts";
import { startHttpServer } from "../http-server.ts";
import { startHttpsServer } from "../https-server.ts";
import { createGatewayResolver } from "../resolve-gateway.ts";
import { createJwksTransport } from "../jwks-transport.ts";
import { logConflicts } from "../log-conflicts.ts";
import { registrationRoute } from "../registration-route.ts";
import { debounceOf, splitAddress } from "../options.ts";
import type { WebhookHandler } from "../webhooks/admission-review.ts";
import { runCaBundles } from "../webhooks/ca-bundle.ts";
import { createInjectHandler, type Injector } from "../webhooks/inject.ts";
import { webhookRoute } from "../webhooks/webhook-route.ts";
import { createValidateHandler } from "../webhooks/validate.ts";
import { createKubernetesIdentity } from "./identity.ts";
import { type GatewayBuilder, runGatewayDeployments } from "./gateway-deployments.ts";
import { watchMeshConfig } from "./mesh-config.ts";
import { type KubernetesOptions, revisioned } from "./options.ts";
import { runRegistrationSweep } from "./registration.ts";
import { handOutRevocations, handOutRoots, runRootCertificates } from "./root-certificates.ts";
import { createSecretAccess } from "./secret-access.ts";
import { startKubernetesSource } from "./source.ts";
import { runStatus } from "./status-writer.ts";
import { createKubernetesEntries } from "./workload-entries.ts";
import { gatewayApiStatusKinds, istioStatusKinds } from "./wanted-status.ts";

export interface KubernetesContext {
	readonly options: KubernetesOptions;
	readonly client: KubeClient;
	/** Undefined: `/inject` is not served. */
	readonly injector?: Injector<unknown> & GatewayBuilder<unknown>;
	readonly clock: Clock;
	readonly logger: Logger;
	/** From when on this replica is not ready any more, and still serves. */
	readonly draining?: AbortSignal;
	readonly signal: AbortSignal;
}

export interface KubernetesControlPlane {
	readonly secureAddress: string;
	readonly plaintextAddress: string | undefined;
	readonly webhookAddress: string;
	readonly httpAddress: string;
	readonly readyAddress: string;
	/** Resolves when everything is closed, after the signal. */
	readonly closed: Promise<void>;
}

/**
 * A control plane in a cluster: Kubernetes → Galley → Pilot → proxies, Citadel and the webhooks beside them.
 * Proxies are served when the whole mesh has been read, never with half of it. Rejects when a port is taken or a CA is damaged.
 */
export async function startKubernetesControlPlane(context: KubernetesContext): Promise<KubernetesControlPlane> {
	const { options, client, clock, logger, signal } = context;
	const { namespace, podName, revision, clusterId } = options;
	const registry = new Registry();
	collectDefaultMetrics({ register: registry });
	const store = createStore({ onConflicts: logConflicts(logger.child("galley")) });
	const waiting: (() => readonly string[])[] = [];
	let isServing = false;
	const isDraining = () => context.draining?.aborted === true;
	const waitingFor = () => [...waiting.flatMap((of) => of()), ...(isServing ? [] : ["its servers"]), ...(isDraining() ? ["its end"] : [])];
	// Probes are answered from the beginning: what is not ready says why.
	const ready = await startReadyServer(options.readyHttp, waitingFor, signal);

	const common = { client, clock, logger, signal };
	const { meshConfigFile: file, networksFile, sharedMeshConfig: sharedName } = options;
	const mesh = await watchMeshConfig({ ...common, store, namespace, name: revisioned("istio", revision), sharedName, file, networksFile });
	waiting.push(() => (mesh.isSettled() ? [] : ["mesh config"]));
	let fileDiagnostics: readonly Diagnostic[] = [];
	if (options.configDirectory !== undefined) {
		const onDiagnostics = (found: readonly Diagnostic[]) => void (fileDiagnostics = found);
		await watchDirectory(options.configDirectory, store, { clock, logger: logger.child("galley"), signal, checks: objectChecks, onDiagnostics });
	}
	const source = startKubernetesSource({ ...common, store, revision, secretNamespaces: options.secretNamespaces });
	waiting.push(() => source.waitingFor());
	await settled(context, () => waiting.every((of) => of().length === 0));

	const trustDomain = mesh.current().trustDomain ?? "cluster.local";
	const isMachine = (ns: string, serviceAccount: string) =>
		store
			.snapshot()
			.all("WorkloadGroup")
			.some(({ metadata, spec }) => metadata.namespace === ns && spec.template.serviceAccount === serviceAccount);
	const secure = await createKubernetesIdentity({ ...options, ...common, mesh, trustDomain, isMachine });
	const { issuer, authority, identity, roots, workloadRoots } = secure;

	const entries = createKubernetesEntries(client, signal);
	const autoRegistration = createAutoRegistration({
		entries,
		groupOf: (ns, name) => store.snapshot().get("WorkloadGroup", ns, name),
		instance: podName,
		graceMs: options.workloadGraceMs,
		...common,
		logger: logger.child("registration"),
		registry,
	});
	const registrations = createRegistrations({ entries, snapshot: () => store.snapshot(), clock, logger: logger.child("registration") });
	const discovery = createDiscovery({
		registration: autoRegistration,
		store,
		meshConfig: mesh.current,
		meshNetworks: mesh.networks,
		clusterId,
		clock,
		logger: logger.child("ads"),
		registry,
		trustRoots: workloadRoots.list,
		signal,
		jwksTransport: createJwksTransport("cluster", { blocked: options.blockedJwksNetworks }),
		...(options.resolvesGateways && { resolveGateway: createGatewayResolver() }),
		secretAccess: createSecretAccess({ ...common, logger: logger.child("ads") }),
		...debounceOf(options),
	});
	workloadRoots.onChanged(discovery.retrust);
	const rotation = secure.rotate?.(discovery);
	const debug: DebugContext = {
		clusterId,
		instance: podName,
		trustedNamespaces: new Set([namespace, ...options.debug.namespaces]),
		store,
		discovery,
		...(rotation && { rotation }),
		diagnostics: () => [...fileDiagnostics, ...source.diagnostics(), ...store.conflicts()],
		clusters: () => [{ id: clusterId, secretName: "", syncStatus: source.waitingFor().length === 0 ? "synced" : "syncing" }],
	};
	const answers = createDebugAnswers(debug);
	const grpc = await startGrpcServers({ plaintext: options.plaintextGrpc, secure, discovery, debug: answers, registry, clock, logger });
	signal.addEventListener("abort", grpc.close, { once: true });

	const snapshot = () => store.snapshot();
	const handlers: WebhookHandler[] = [createValidateHandler({ snapshot, nowMs: () => clock.nowMs(), registry })];
	let deployments: Promise<void> | undefined;
	if (context.injector) {
		const configMapName = revisioned("istio-sidecar-injector", revision);
		const { injector } = context;
		const inject = createInjectHandler({
			...common,
			...options,
			logger: logger.child("inject"),
			injector,
			configMapName,
			meshConfig: mesh.current,
			snapshot,
			registry,
		});
		handlers.push(inject);
		if (options.deploysGateways) {
			const { settings } = inject;
			deployments = runGatewayDeployments({ ...common, logger: logger.child("gateways"), store, builder: injector, settings, namespace, podName, revision });
		}
		waiting.push(() => (inject.isSettled() ? [] : [`ConfigMap ${configMapName}`]));
	}
	const register = registrationRoute({ registrations, authenticators: secure.registering, allowsLoopback: false, logger: logger.child("registration") });
	const routes = [...handlers.map(webhookRoute), register];
	const https = await startHttpsServer({ address: options.https, identity, roots, routes, waitingFor, logger: logger.child("webhook"), signal });
	const { injectorConfigName, validatorConfigName } = options;
	const bundles = runCaBundles({
		...common,
		logger: logger.child("webhook"),
		injectorConfigName,
		validatorConfigName,
		namespace,
		revision,
		roots,
		...(context.draining && { draining: context.draining }),
	});
	waiting.push(() => bundles.waitingFor());
	// Whoever gives out the certificates hands out their roots as well.
	const rootsWritten =
		issuer &&
		runRootCertificates({
			...common,
			logger: logger.child("citadel"),
			store,
			namespace,
			podName,
			texts: [handOutRoots(roots), ...(authority ? [handOutRevocations(authority)] : [])],
		});
	const sweep = runRegistrationSweep({ ...common, logger: logger.child("registration"), store, autoRegistration, registrations, namespace, podName });
	const statusKinds = [...(options.status.gatewayApi ? gatewayApiStatusKinds : []), ...(options.status.istio ? istioStatusKinds : [])];
	const { analysis } = options.status;
	const status = runStatus({ ...common, logger: logger.child("status"), store, source, kinds: statusKinds, discovery, analysis, namespace, podName });

	const http = await startHttpServer({
		...debug,
		http: options.monitoring,
		registry,
		rescan: async () => undefined,
		waitingFor,
		namespaceOf: (token) => namespaceOf(secure, token),
		hidesDebug: !options.debug.onHttp,
		clock,
		logger,
		signal,
	});
	isServing = true;
	logger.info("control plane serves", { xds: grpc.secureAddress ?? "", webhooks: https.address, http: http.address });
	const httpClosed = new Promise<void>((resolve) => {
		signal.addEventListener("abort", () => http.close(resolve), { once: true });
	});
	return {
		secureAddress: grpc.secureAddress ?? "",
		plaintextAddress: grpc.plaintextAddress,
		webhookAddress: https.address,
		httpAddress: http.address,
		readyAddress: ready.address,
		closed: Promise.all([ready.closed, https.closed, bundles.done, rootsWritten, sweep, status, deployments, httpClosed]).then(() => client.transport.close()),
	};
}

async function namespaceOf({ asking }: SecureServing, bearerToken: string): Promise<string | undefined> {
	const outcome = await authenticate(asking, { verifiedCertificate: undefined, bearerToken, remoteAddress: "" });
	return outcome.ok ? outcome.value.identity.namespace : undefined;
}

async function settled({ clock, signal }: KubernetesContext, holds: () => boolean): Promise<void> {
	while (!signal.aborted && !holds()) await clock.sleep(20, signal);
	signal.throwIfAborted();
}

async function startReadyServer(
	address: string,
	waitingFor: () => readonly string[],
	signal: AbortSignal,
): Promise<{ readonly address: string; readonly closed: Promise<void> }> {
	const { host, port } = splitAddress(address);
	const server = createServer((request, response) => {
		if (request.url === "/ready") sendReadiness(response, waitingFor());
		else sendText(response, 404, "only /ready is here\n");
	});
	await new Promise<void>((resolve, reject) => {
		server.once("error", (error) => reject(new Error(`cannot listen on ${address}: ${error.message}`)));
		server.listen(port, host, resolve);
	});
	const bound = server.address();
	const closed = new Promise<void>((resolve) => {
		signal.addEventListener(
			"abort",
			() => {
				server.close(() => resolve());
				server.closeAllConnections();
			},
			{ once: true },
		);
	});
	return { address: `${host}:${typeof bound === "object" ? bound?.port : port}`, closed };
}
