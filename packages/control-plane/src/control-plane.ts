import { mkdirSync } from "node:fs";
import type { Diagnostic } from "@weft/api";
import { createStore, type Store, watchDirectory } from "@weft/galley";
import {
	createAutoRegistration,
	createDiscovery,
	createRegistrations,
	createStoreEntries,
	type Discovery,
	objectChecks,
	type WorkloadEntries,
} from "@weft/pilot";
import { collectDefaultMetrics, Registry } from "prom-client";
import type { DebugContext } from "./debug/context.ts";
import { createDebugAnswers } from "./debug/xds-answers.ts";
import { type SecureServing, startGrpcServers } from "./grpc-servers.ts";
import { startHttpServer } from "./http-server.ts";
import { startHttpsServer } from "./https-server.ts";
import { createGatewayResolver } from "./resolve-gateway.ts";
import { createJwksTransport } from "./jwks-transport.ts";
import { createLocalIdentity } from "./local-identity.ts";
import { type ControlPlaneOptions, debounceOf, workloadGraceMsDefault } from "./options.ts";
import { logConflicts } from "./log-conflicts.ts";
import { registrationRoute } from "./registration-route.ts";

export interface ControlPlane {
	readonly store: Store;
	readonly discovery: Discovery;
	readonly plaintextAddress: string | undefined;
	readonly secureAddress: string | undefined;
	readonly httpAddress: string;
	readonly httpsAddress: string | undefined;
	/** Resolves when everything is closed, after the signal. */
	readonly closed: Promise<void>;
}

const clusterId = "Kubernetes";
/** How often registered instances are looked at. */
const sweepMs = 1_000;

/** Galley → Pilot → proxies, with Citadel beside them. Rejects when a port is taken or the certificate authority is damaged. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
	const { files, clock, logger, signal } = options;
	const registry = new Registry();
	collectDefaultMetrics({ register: registry });
	mkdirSync(files, { recursive: true });
	const store = createStore({ onConflicts: logConflicts(logger.child("galley")) });
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
	const { meshNetworks } = options;
	const networks = meshNetworks && { meshNetworks: () => meshNetworks };
	const common = { store, meshConfig, ...networks, clusterId, clock, registry, signal };
	const entries = createStoreEntries(store);
	const autoRegistration = createAutoRegistration({
		entries,
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
		resolveGateway: createGatewayResolver(),
		...trust,
		...debounceOf(options),
	});
	const rotation = secure?.rotate?.(discovery);
	const debug: DebugContext = {
		clusterId,
		instance: "weft",
		trustedNamespaces: new Set(["istio-system"]),
		store,
		discovery,
		...(rotation && { rotation }),
		diagnostics: () => [...diagnostics, ...store.conflicts()],
	};
	const grpc = await startGrpcServers({
		plaintext: options.plaintextGrpc,
		secure,
		discovery,
		debug: createDebugAnswers(debug),
		registry,
		clock,
		logger,
	});
	signal.addEventListener("abort", grpc.close, { once: true });
	const https = options.https === undefined ? undefined : await startRegistration(options.https, options, { store, entries, secure });
	const http = await startHttpServer({
		http: options.http,
		...(options.apiToken !== undefined && { apiToken: options.apiToken }),
		...(options.apiDirectory !== undefined && { apiDirectory: options.apiDirectory }),
		...debug,
		registry,
		rescan: () => watch.rescan(),
		waitingFor: () => [],
		namespaceOf: async () => undefined,
		clock,
		logger,
		signal,
	});
	logger.info("control plane ready", {
		http: http.address,
		https: https?.address ?? "",
		xds: grpc.secureAddress ?? "",
		plaintextXds: grpc.plaintextAddress ?? "",
	});
	const closed = new Promise<void>((resolve) => {
		signal.addEventListener("abort", () => http.close(resolve), { once: true });
	}).then(() => https?.closed);
	return {
		store,
		discovery,
		plaintextAddress: grpc.plaintextAddress,
		secureAddress: grpc.secureAddress,
		httpAddress: http.address,
		httpsAddress: https?.address,
		closed,
	};
}

interface RegistrationParts {
	readonly store: Store;
	readonly entries: WorkloadEntries;
	readonly secure: SecureServing | undefined;
}

/** Registrations over HTTPS, kept in the store alone: after a restart they come again with their next heartbeat. */
async function startRegistration(address: string, { clock, logger: root, signal }: ControlPlaneOptions, { store, entries, secure }: RegistrationParts) {
	if (secure === undefined) throw new Error("registrations over HTTPS need the certificate authority: serve ADS over TLS as well");
	const logger = root.child("registration");
	const registrations = createRegistrations({ entries, snapshot: () => store.snapshot(), clock, logger });
	const sweep = async () => {
		while (!signal.aborted) {
			await registrations.sweep();
			await clock.sleep(sweepMs, signal);
		}
	};
	void sweep();
	const route = registrationRoute({ registrations, authenticators: secure.registering, allowsLoopback: true, logger });
	const { identity, roots } = secure;
	return startHttpsServer({ address, identity, roots, routes: [route], waitingFor: () => [], logger, signal });
}
