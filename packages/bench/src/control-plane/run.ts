import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Change, FromClients, FromServer, ToServer } from "./protocol.ts";

/** Istio's PILOT_DEBOUNCE_AFTER, which no push can be faster than. */
const debounceMs = 100;
/** A push is over when no answer came for so long. */
const quietMs = 700;
const warmUpRounds = 5;
const rounds = 5;

export interface PushCost {
	/** Beyond the debounce, until the last proxy has answered. */
	readonly lastMs: number;
	readonly cpuMsPerProxy: number;
	readonly kbPerProxy: number;
	readonly builds: number;
	readonly encodes: number;
}

/** A push about every service. */
export interface LargePushCost extends PushCost {
	readonly loopDelayMaxMs: number;
	/** After many of them. */
	readonly peakRssMb: number;
}

export interface ControlPlaneResult {
	readonly services: number;
	readonly proxies: number;
	readonly cold: { readonly lastMs: number; readonly cpuMsPerProxy: number; readonly kbPerProxy: number };
	readonly route: PushCost;
	/** The same edit for clients that take virtual hosts one by one. */
	readonly virtualHost: PushCost;
	readonly endpoint: PushCost;
	/** One endpoint of each service moves. */
	readonly endpoints: LargePushCost;
	readonly rssMb: number;
	readonly peakRssMb: number;
}

/** Endpoints that change all the time. */
export interface ChurnCost {
	readonly services: number;
	readonly proxies: number;
	readonly perSecond: number;
	readonly seconds: number;
	readonly changes: number;
	/** From the last change until the last proxy has answered; the debounce is in it. */
	readonly lastMs: number;
	/** Of each second. */
	readonly cpuMs: number;
	readonly kbPerProxy: number;
	readonly loopDelayP99Ms: number;
	readonly peakRssMb: number;
}

type Usage = Extract<FromServer, { kind: "usage" }>;

function message<K extends (FromServer | FromClients)["kind"]>(child: ChildProcess, kind: K): Promise<Extract<FromServer | FromClients, { kind: K }>> {
	return new Promise((resolve, reject) => {
		const ended = (code: number | null) => reject(new Error(`a process of the benchmark ended with status ${code}`));
		const listen = (m: FromServer | FromClients) => {
			if (m.kind !== kind) return;
			child.off("message", listen);
			child.off("exit", ended);
			resolve(m as Extract<FromServer | FromClients, { kind: K }>);
		};
		child.on("message", listen);
		child.once("exit", ended);
	});
}

function ask<K extends (FromServer | FromClients)["kind"]>(child: ChildProcess, question: object, kind: K) {
	const answer = message(child, kind);
	child.send(question);
	return answer;
}

const usageOf = (server: ChildProcess): Promise<Usage> => ask(server, { kind: "usage" } satisfies ToServer, "usage");

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** Starts servers with `proxies` clients each, and measures the kinds of push. */
export async function runControlPlane(services: number, proxies: number): Promise<ControlPlaneResult> {
	const { cost: virtualHost } = await withClients(services, proxies, "vhds", ({ server, clients }) => measure(server, clients, proxies, "route", "vhds"));
	return withClients(services, proxies, "", async ({ server, clients, cold }) => {
		const { cost: route } = await measure(server, clients, proxies, "route", "rds");
		const { cost: endpoint } = await measure(server, clients, proxies, "endpoint", "eds");
		const { rssMb, peakRssMb } = await usageOf(server);
		const large = await measure(server, clients, proxies, "endpoints", "eds");
		const endpoints = { ...large.cost, loopDelayMaxMs: large.loopDelayMaxMs, peakRssMb: (await usageOf(server)).peakRssMb };
		return { services, proxies, cold, route, virtualHost, endpoint, endpoints, rssMb, peakRssMb };
	});
}

interface Connected {
	readonly server: ChildProcess;
	readonly clients: ChildProcess;
	readonly cold: ControlPlaneResult["cold"];
}

/** A server with its clients, all configured; both are ended when `use` is done. */
async function withClients<T>(services: number, proxies: number, kind: "" | "vhds", use: (connected: Connected) => Promise<T>): Promise<T> {
	const script = (name: string) => join(import.meta.dirname, name);
	const server = fork(script("server.ts"), [String(services)]);
	const { address } = await message(server, "listening");
	const before = await usageOf(server);
	const startedMs = Date.now();
	const clients = fork(script("clients.ts"), [address, String(proxies), String(services), kind]);
	try {
		const configured = await message(clients, "configured");
		await sleep(quietMs);
		const after = await usageOf(server);
		const { acks } = await ask(clients, { kind: "report" }, "report");
		const cold = {
			lastMs: configured.atMs - startedMs,
			cpuMsPerProxy: (after.cpuMs - before.cpuMs) / proxies,
			kbPerProxy: acks.reduce((n, a) => n + a.bytes, 0) / 1000 / proxies,
		};
		return await use({ server, clients, cold });
	} finally {
		for (const child of [clients, server]) {
			if (child.exitCode !== null) continue;
			child.kill();
			await once(child, "exit");
		}
	}
}

/** Moves endpoints at a steady pace, of one service after another. */
export function runChurn(services: number, proxies: number, perSecond: number, seconds: number): Promise<ChurnCost> {
	return withClients(services, proxies, "", async ({ server, clients }) => {
		const before = await usageOf(server);
		const ended = message(server, "churned");
		server.send({ kind: "churn", perSecond, seconds } satisfies ToServer);
		const { atMs, changes, loopDelayP99Ms } = await ended;
		const acks = await untilQuiet(clients);
		const after = await usageOf(server);
		return {
			...{ services, proxies, perSecond, seconds, changes, loopDelayP99Ms },
			lastMs: Math.max(...acks.map((a) => a.atMs)) - atMs,
			cpuMs: (after.cpuMs - before.cpuMs) / seconds,
			kbPerProxy: acks.reduce((n, a) => n + a.bytes, 0) / 1000 / proxies / seconds,
			peakRssMb: after.peakRssMb,
		};
	});
}

type Acks = Extract<FromClients, { kind: "report" }>["acks"];

/** Everything that the clients acknowledge until nothing comes for a while. */
async function untilQuiet(clients: ChildProcess): Promise<Acks> {
	const all: Acks[number][] = [];
	for (;;) {
		await sleep(quietMs);
		const { acks } = await ask(clients, { kind: "report" }, "report");
		if (acks.length === 0 && all.length > 0) return all;
		all.push(...acks);
	}
}

interface Measured {
	readonly cost: PushCost;
	/** Of changes of all services. */
	readonly loopDelayMaxMs: number;
}

async function measure(server: ChildProcess, clients: ChildProcess, proxies: number, what: Change, type: string): Promise<Measured> {
	const costs: PushCost[] = [];
	const loopDelays: number[] = [];
	// A control plane lives for days: the first rounds, in which its code is compiled, are not counted.
	for (let round = 0; round < warmUpRounds + rounds; round++) {
		const before = await usageOf(server);
		const { atMs } = await ask(server, { kind: "change", what, generation: round + 1 } satisfies ToServer, "changed");
		await sleep(debounceMs);
		const acks = await untilQuiet(clients);
		const after = await usageOf(server);
		const reached = new Set(acks.filter((a) => a.type === type).map((a) => a.client));
		if (reached.size !== proxies) throw new Error(`${what}: only ${reached.size} of ${proxies} proxies were sent the change`);
		costs.push({
			lastMs: Math.max(...acks.map((a) => a.atMs)) - atMs - debounceMs,
			cpuMsPerProxy: (after.cpuMs - before.cpuMs) / proxies,
			kbPerProxy: acks.reduce((n, a) => n + a.bytes, 0) / 1000 / proxies,
			builds: after.builds - before.builds,
			encodes: after.encodes - before.encodes,
		});
		loopDelays.push(after.loopDelayMaxMs);
	}
	const counted = costs.slice(warmUpRounds);
	const of = (key: keyof PushCost) => median(counted.map((c) => c[key]));
	const cost = { lastMs: of("lastMs"), cpuMsPerProxy: of("cpuMsPerProxy"), kbPerProxy: of("kbPerProxy"), builds: of("builds"), encodes: of("encodes") };
	return { cost, loopDelayMaxMs: median(loopDelays.slice(warmUpRounds)) };
}
