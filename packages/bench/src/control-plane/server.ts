// The control plane under load: Galley's store, Pilot and the ADS server, as they run in `weft control-plane`,
// without files, so that a change is one call. One process of its own, so that its CPU and memory are its own.
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { AnyConfig } from "@weft/api";
import { createStore } from "@weft/galley";
import { createDiscovery, stats } from "@weft/pilot";
import { createLogger, systemClock } from "@weft/runtime";
import { adsService, requestBytesMax } from "@weft/xds/server";
import { Registry } from "prom-client";
import type { Change, FromServer, ToServer } from "./protocol.ts";
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

/** Runs during changes of all services only: its timer costs more than a small push to a few proxies. */
const loopDelay = monitorEventLoopDelay({ resolution: 5 });

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
			loopDelayMaxMs: loopDelay.max / 1e6,
		});
		loopDelay.disable();
		return;
	}
	if (message.kind === "churn") {
		void churn(message.perSecond, message.seconds);
		return;
	}
	if (message.what === "endpoints") {
		loopDelay.reset();
		loopDelay.enable();
	}
	store.apply({ source: "bench", upsert: changeOf(message.what, message.generation), remove: [] });
	tell({ kind: "changed", atMs: Date.now() });
});

function changeOf(what: Change, generation: number): AnyConfig[] {
	if (what === "route") return [virtualService(0, 10 + (generation % 80))];
	const services = what === "endpoint" ? [1] : Array.from({ length: workload.services }, (_, i) => i);
	return services.map((i) => serviceEntry(i, workload, generation));
}

/** One endpoint after another moves, of one service after another. */
async function churn(perSecond: number, seconds: number): Promise<void> {
	const delay = monitorEventLoopDelay({ resolution: 10 });
	delay.enable();
	const started = performance.now();
	let changes = 0;
	while (performance.now() - started < seconds * 1000) {
		const due = ((performance.now() - started) / 1000) * perSecond;
		for (; changes < due; changes++) {
			const entry = serviceEntry(changes % workload.services, workload, 1 + (Math.floor(changes / workload.services) % 100));
			store.apply({ source: "bench", upsert: [entry], remove: [] });
		}
		await sleep(5);
	}
	tell({ kind: "churned", atMs: Date.now(), changes, loopDelayP99Ms: delay.percentile(99) / 1e6 });
	delay.disable();
}

process.once("SIGTERM", () => process.exit(0));
process.once("disconnect", () => process.exit(0));
