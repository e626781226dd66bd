import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Diagnostic } from "@weft/api";
import { createStore, type Store, watchDirectory } from "@weft/galley";
import { createDiscovery, type Discovery } from "@weft/pilot";
import { collectDefaultMetrics, Registry } from "prom-client";
import { type GrpcServers, startGrpcServers } from "./grpc-servers.ts";
import { startHttpServer } from "./http-server.ts";
import type { ControlPlaneOptions } from "./options.ts";

export interface ControlPlane {
	readonly store: Store;
	readonly discovery: Discovery;
	readonly plaintextAddress: string | undefined;
	readonly secureAddress: string | undefined;
	readonly httpAddress: string;
	/** Resolves when everything is closed, after the signal. */
	readonly closed: Promise<void>;
}

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
		onDiagnostics: (found) => {
			diagnostics = found;
		},
	});
	const { meshConfig, debounceQuietMs, debounceCapMs } = options;
	const debounce = { ...(debounceQuietMs === undefined ? {} : { debounceQuietMs }), ...(debounceCapMs === undefined ? {} : { debounceCapMs }) };
	const discovery = createDiscovery({ store, meshConfig, clusterId: "Kubernetes", clock, logger: logger.child("ads"), registry, signal, ...debounce });
	const grpc = await startGrpcServers(options, discovery, registry);
	signal.addEventListener("abort", grpc.close, { once: true });
	writeRoots(options, grpc);
	const http = await startHttpServer({ options, store, discovery, registry, rescan: () => watch.rescan(), diagnostics: () => diagnostics });
	logger.info("control plane ready", { http: http.address, xds: grpc.secureAddress ?? "", plaintextXds: grpc.plaintextAddress ?? "" });
	const closed = new Promise<void>((resolve) => {
		signal.addEventListener("abort", () => http.close(resolve), { once: true });
	});
	return { store, discovery, plaintextAddress: grpc.plaintextAddress, secureAddress: grpc.secureAddress, httpAddress: http.address, closed };
}

/** The roots, where a launcher finds them to give to its proxies (Kubernetes has the ConfigMap istio-ca-root-cert for it). */
function writeRoots({ secure }: ControlPlaneOptions, { rootsPem }: GrpcServers): void {
	if (secure && rootsPem !== undefined) writeFileSync(join(secure.caDirectory, "..", "root-cert.pem"), rootsPem);
}
