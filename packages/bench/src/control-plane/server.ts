// The control plane under load: Galley's store, Pilot and the ADS server, as they run in `weft control-plane`,
// without files, so that a change is one call. One process of its own, so that its CPU and memory are its own.
import { readFileSync } from "node:fs";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { createStore } from "@weft/galley";
import { createDiscovery, stats } from "@weft/pilot";
import { createLogger, systemClock } from "@weft/runtime";
import { adsService, requestBytesMax } from "@weft/xds/server";
import { Registry } from "prom-client";
import type { FromServer, ToServer } from "./protocol.ts";
import { objectsOf, serviceEntry, virtualService } from "./workload.ts";

const workload = { services: Number(process.argv[2]), endpointsPerService: 10 };
const startedMs = performance.now();
const store = createStore();
store.apply({ source: "bench", upsert: objectsOf(workload), remove: [] });
const logger = createLogger({ level: "warn" });
const discovery = createDiscovery({
	store,
	meshConfig: () => ({}),
	clusterId: "Kubernetes",
	clock: systemClock,
	logger,
	registry: new Registry(),
	signal: new AbortController().signal,
});
const server = new Server({ "grpc.max_receive_message_length": requestBytesMax, "grpc.max_send_message_length": -1 });
const { definition, implementation } = adsService({ delegate: discovery.delegate, clock: systemClock, logger, identify: () => undefined });
server.addService(definition, implementation);
const tell = (message: FromServer) => process.send?.(message);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
	if (error) throw error;
	tell({ kind: "listening", address: `127.0.0.1:${port}`, readyMs: performance.now() - startedMs });
});

function peakRssMb(): number {
	return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) / 1024;
}

process.on("message", (message: ToServer) => {
	if (message.kind === "usage") {
		const { user, system } = process.cpuUsage();
		const total = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((a, b) => a + b, 0);
		tell({
			kind: "usage",
			cpuMs: (user + system) / 1000,
			rssMb: process.memoryUsage.rss() / (1 << 20),
			peakRssMb: peakRssMb(),
			builds: total(stats.builds),
			encodes: total(stats.encodes),
		});
		return;
	}
	const changed = message.what === "route" ? virtualService(0, 10 + (message.generation % 80)) : serviceEntry(1, workload, message.generation);
	store.apply({ source: "bench", upsert: [changed], remove: [] });
	tell({ kind: "changed", atMs: Date.now() });
});

process.once("SIGTERM", () => process.exit(0));
