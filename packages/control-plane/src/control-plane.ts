import { mkdirSync } from "node:fs";
import type { Diagnostic } from "@weft/api";
import { createStore, type Store, watchDirectory } from "@weft/galley";
import { createAutoRegistration, createDiscovery, createStoreEntries, type Discovery, objectChecks } from "@weft/pilot";
import { collectDefaultMetrics, Registry } from "prom-client";
import { startGrpcServers } from "./grpc-servers.ts";
import { startHttpServer } from "./http-server.ts";
import { createJwksTransport } from "./jwks-transport.ts";
import { createLocalIdentity } from "./local-identity.ts";
import { type ControlPlaneOptions, debounceOf, workloadGraceMsDefault } from "./options.ts";
import { createDebugAnswers } from "./xds-debug.ts";

export interface ControlPlane {
	readonly store: Store;
	readonly discovery: Discovery;
	readonly plaintextAddress: string | undefined;
	readonly secureAddress: string | undefined;
	readonly httpAddress: string;
	/** Resolves when everything is closed, after the signal. */
	readonly closed: Promise<void>;
}

const clusterId = "Kubernetes";

/** Galley → Pilot → proxies, with Citadel beside them. Rejects when a port is taken or the certificate authority is damaged. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
	const { files, clock, logger, signal } = options;
	const registry = new Registry();
	collectDefaultMetrics({ register: registry });
	mkdirSync(files, { recursive: true });
	const store = createStore();
	let diagnostics: readonly Diagnostic[] = [];
	const watch = await watchDirectory(files, store, {
		signal,
		clock,
		logger: logger.child("galley"),
		checks: objectChecks,
		onDiagnostics: (found) => {
			diagnostics = found;
		},
	});
	const meshConfig = () => options.meshConfig;
	const secure = options.secure && (await createLocalIdentity(options.secure, options));
	const trust = secure && { trustRoots: secure.roots.list };
	const common = { store, meshConfig, clusterId, clock, registry, signal };
	const autoRegistration = createAutoRegistration({
		entries: createStoreEntries(store),
		groupOf: (namespace, name) => store.snapshot().get("WorkloadGroup", namespace, name),
		instance: "weft",
		graceMs: options.workloadGraceMs ?? workloadGraceMsDefault,
		clock,
		logger: logger.child("registration"),
		registry,
		signal,
	});
	const discovery = createDiscovery({
		...common,
		registration: autoRegistration,
		logger: logger.child("ads"),
		jwksTransport: createJwksTransport("machine"),
		...trust,
		...debounceOf(options),
	});
	const rotation = secure?.rotate?.(discovery);
	const grpc = await startGrpcServers({
		plaintext: options.plaintextGrpc,
		secure,
		discovery,
		debug: createDebugAnswers({ discovery, clusterId, instance: "weft", systemNamespace: "istio-system" }),
		registry,
		clock,
		logger,
	});
	signal.addEventListener("abort", grpc.close, { once: true });
	const http = await startHttpServer({
		http: options.http,
		...(options.apiToken !== undefined && { apiToken: options.apiToken }),
		...(options.apiDirectory !== undefined && { apiDirectory: options.apiDirectory }),
		...common,
		discovery,
		...(rotation && { rotation }),
		rescan: () => watch.rescan(),
		diagnostics: () => diagnostics,
		waitingFor: () => [],
		mayDebug: async () => false,
		logger,
	});
	logger.info("control plane ready", { http: http.address, xds: grpc.secureAddress ?? "", plaintextXds: grpc.plaintextAddress ?? "" });
	const closed = new Promise<void>((resolve) => {
		signal.addEventListener("abort", () => http.close(resolve), { once: true });
	});
	return { store, discovery, plaintextAddress: grpc.plaintextAddress, secureAddress: grpc.secureAddress, httpAddress: http.address, closed };
}
