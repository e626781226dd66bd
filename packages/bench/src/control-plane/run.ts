import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Change, FromClients, FromServer, ToServer } from "./protocol.ts";

/** Istio's PILOT_DEBOUNCE_AFTER, which no push can be faster than. */
const debounceMs = 100;
/** What follows configuring (garbage, compilation) belongs to it. */
const settleMs = 700;
/** For a push to reach everyone, and for all clients to be configured. */
const pushMs = 60_000;
const configuredMs = 300_000;

/** Pushes that are not counted, and that are: as many as fit into the time, at least `min`. */
interface Rounds {
	readonly min: number;
	readonly max: number;
	readonly ms: number;
	/** A push that has reached everyone is over when no answer came for so long. */
	readonly quietMs: number;
}
// A control plane lives for days, and its code is compiled by then: one push to a few hundred proxies leaves it cold.
const smallRounds: Rounds = { min: 3, max: 25, ms: 10_000, quietMs: 100 };
const largeRounds: Rounds = { min: 2, max: 5, ms: 10_000, quietMs: 700 };

export interface PushCost {
	/** Beyond the debounce, until the last proxy has answered. */
	readonly lastMs: number;
	readonly cpuMsPerProxy: number;
	readonly kbPerProxy: number;
	readonly builds: number;
	readonly encodes: number;
	/** What the event loop was held for at most; of a push about every service. */
	readonly loopDelayMaxMs: number;
}

/** Pushes of one kind. */
export interface PushCosts {
	/** Just after start. */
	readonly first: PushCost;
	/** Medians of those that are counted. */
	readonly warm: PushCost;
}

export interface ControlPlaneResult {
	readonly services: number;
	readonly proxies: number;
	readonly cold: { readonly lastMs: number; readonly cpuMsPerProxy: number; readonly kbPerProxy: number };
	readonly route: PushCosts;
	/** The same edit for clients that take virtual hosts one by one. */
	readonly virtualHost: PushCosts;
	readonly endpoint: PushCosts;
	/** One endpoint of each service moves. */
	readonly endpoints: PushCosts;
	/** Before endpoints of all services move. */
	readonly peakRssMb: number;
	/** After. */
	readonly peakRssInAllMb: number;
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

function message<K extends (FromServer | FromClients)["kind"]>(
	child: ChildProcess,
	kind: K,
	timeoutMs = pushMs,
): Promise<Extract<FromServer | FromClients, { kind: K }>> {
	return new Promise((resolve, reject) => {
		const settle = () => {
			clearTimeout(timer);
			child.off("message", listen);
			child.off("exit", ended);
		};
		const timer = setTimeout(() => {
			settle();
			reject(new Error(`no message "${kind}" in ${timeoutMs / 1000} s`));
		}, timeoutMs);
		const ended = (code: number | null, signal: string | null) => {
			settle();
			reject(new Error(`a process of the benchmark ended with ${signal ?? `status ${code}`}`));
		};
		const listen = (m: FromServer | FromClients) => {
			if (m.kind !== kind) return;
			settle();
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

/** Starts servers with `proxies` clients each, and measures the kinds of push. Ends, or rejects, within half an hour: each start, round and kind of push has a limit. */
export async function runControlPlane(services: number, proxies: number, log: (line: string) => void): Promise<ControlPlaneResult> {
	const virtualHost = await withClients(services, proxies, "vhds", ({ server, clients, cold }) => {
		log(`configured in ${cold.lastMs} ms (VHDS)`);
		return measure({ server, clients, proxies, log, what: "route", type: "vhds", rounds: smallRounds });
	});
	return withClients(services, proxies, "", async ({ server, clients, cold }) => {
		log(`configured in ${cold.lastMs} ms`);
		const common = { server, clients, proxies, log };
		const route = await measure({ ...common, what: "route", type: "rds", rounds: smallRounds });
		const endpoint = await measure({ ...common, what: "endpoint", type: "eds", rounds: smallRounds });
		const { peakRssMb } = await usageOf(server);
		const endpoints = await measure({ ...common, what: "endpoints", type: "eds", rounds: largeRounds });
		const { peakRssMb: peakRssInAllMb } = await usageOf(server);
		return { services, proxies, cold, route, virtualHost, endpoint, endpoints, peakRssMb, peakRssInAllMb };
	});
}

interface Connected {
	readonly server: ChildProcess;
	readonly clients: ChildProcess;
	readonly cold: ControlPlaneResult["cold"];
}

/** A server with its clients, all configured; both are ended when `use` is done. */
async function withClients<T>(services: number, proxies: number, kind: "" | "vhds", use: (connected: Connected) => Promise<T>): Promise<T> {
	const children: ChildProcess[] = [];
	const start = (name: string, ...args: readonly string[]) => {
		const child = fork(join(import.meta.dirname, name), args);
		children.push(child);
		return child;
	};
	try {
		const server = start("server.ts", String(services));
		const { address } = await message(server, "listening", configuredMs);
		const before = await usageOf(server);
		const startedMs = Date.now();
		const clients = start("clients.ts", address, String(proxies), String(services), kind);
		const configured = await message(clients, "configured", configuredMs);
		await sleep(settleMs);
		const after = await usageOf(server);
		const { acks } = await ask(clients, { kind: "report" }, "report");
		const cold = {
			lastMs: configured.atMs - startedMs,
			cpuMsPerProxy: (after.cpuMs - before.cpuMs) / proxies,
			kbPerProxy: acks.reduce((n, a) => n + a.bytes, 0) / 1000 / proxies,
		};
		return await use({ server, clients, cold });
	} finally {
		for (const child of children.reverse()) {
			if (child.exitCode !== null || child.signalCode !== null) continue;
			child.kill();
			await once(child, "exit");
		}
	}
}

/** Moves endpoints at a steady pace, of one service after another. */
export function runChurn(services: number, proxies: number, perSecond: number, seconds: number): Promise<ChurnCost> {
	return withClients(services, proxies, "", async ({ server, clients }) => {
		const before = await usageOf(server);
		const ended = message(server, "churned", seconds * 1000 + pushMs);
		server.send({ kind: "churn", perSecond, seconds } satisfies ToServer);
		const { atMs, changes, loopDelayP99Ms } = await ended;
		const acks = await untilQuiet(clients, proxies, "eds", largeRounds.quietMs);
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

/** Everything that the clients acknowledge until all of them have taken something of the type and no more comes. */
async function untilQuiet(clients: ChildProcess, proxies: number, type: string, quietMs: number): Promise<Acks> {
	const all: Acks[number][] = [];
	const reached = new Set<number>();
	for (const started = performance.now(); performance.now() - started < pushMs; ) {
		await sleep(quietMs);
		const { acks } = await ask(clients, { kind: "report" }, "report");
		if (acks.length === 0 && reached.size === proxies) return all;
		all.push(...acks);
		for (const ack of acks) if (ack.type === type) reached.add(ack.client);
	}
	throw new Error(`only ${reached.size} of ${proxies} proxies were sent the change in ${pushMs / 1000} s`);
}

interface Measurement {
	readonly server: ChildProcess;
	readonly clients: ChildProcess;
	readonly proxies: number;
	readonly what: Change;
	/** Of the resources that it changes. */
	readonly type: string;
	readonly rounds: Rounds;
	readonly log: (line: string) => void;
}

async function measure(m: Measurement): Promise<PushCosts> {
	const [first, ...warmUp] = await pushes(m, 1);
	const counted = await pushes(m, 2 + warmUp.length);
	if (first === undefined) throw new Error(`${m.what}: nothing was pushed`);
	m.log(`${m.what} (${m.type}): ${counted.length} pushes after ${warmUp.length + 1}`);
	const of = (key: keyof PushCost) => median(counted.map((cost) => cost[key]));
	const warm: PushCost = {
		lastMs: of("lastMs"),
		cpuMsPerProxy: of("cpuMsPerProxy"),
		kbPerProxy: of("kbPerProxy"),
		builds: of("builds"),
		encodes: of("encodes"),
		loopDelayMaxMs: of("loopDelayMaxMs"),
	};
	return { first, warm };
}

async function pushes(m: Measurement, generation: number): Promise<readonly PushCost[]> {
	const { min, max, ms } = m.rounds;
	const costs: PushCost[] = [];
	for (const started = performance.now(); costs.length < min || (costs.length < max && performance.now() - started < ms); ) {
		costs.push(await push(m, generation + costs.length));
	}
	return costs;
}

async function push({ server, clients, proxies, what, type, rounds }: Measurement, generation: number): Promise<PushCost> {
	const before = await usageOf(server);
	const { atMs } = await ask(server, { kind: "change", what, generation } satisfies ToServer, "changed");
	await sleep(debounceMs);
	const acks = await untilQuiet(clients, proxies, type, rounds.quietMs);
	const after = await usageOf(server);
	return {
		lastMs: Math.max(...acks.map((a) => a.atMs)) - atMs - debounceMs,
		cpuMsPerProxy: (after.cpuMs - before.cpuMs) / proxies,
		kbPerProxy: acks.reduce((n, a) => n + a.bytes, 0) / 1000 / proxies,
		builds: after.builds - before.builds,
		encodes: after.encodes - before.encodes,
		loopDelayMaxMs: after.loopDelayMaxMs,
	};
}
