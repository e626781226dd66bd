import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AdsSource, startAdsSource } from "./ads-source.ts";
import { type Backends, bulkBodyBytes, bulkPath, grpcBodyBytes, grpcMessage, grpcPath, smallBodyBytes, spansPath } from "./backends.ts";
import { buildAdsResources, buildEnvoyConfig } from "./envoy-config.ts";
import { meshHost } from "./envoy-mesh.ts";
import { buildHaproxyConfig } from "./haproxy-config.ts";
import type { LoadRequest } from "./load.ts";
import { buildNginxConfig } from "./nginx-config.ts";
import type { Peer } from "./peers.ts";
import { type Running, startPinned } from "./process-group.ts";
import { largest, readMemory } from "./process-sample.ts";
import { type Expected, freePorts, refusesStrangers, waitForAnswer } from "./readiness.ts";
import { type Scenario, type ScenarioName, scenarios } from "./scenarios.ts";
import { type CertificateFiles, type MeshRole, type ProxyRole, routePath } from "./topology.ts";

export const proxyCore = 0;
export const loadCore = 1;

/** Bulk bodies on so many fewer connections, or what is under way at the end of a round would not be small beside what was measured. */
const bulkConnectionShare = 1 / 8;

/** The started proxies of one peer in one scenario. */
export type Subject = {
	readonly peer: Peer;
	readonly scenario: ScenarioName;
	readonly request: LoadRequest;
	readonly processes: readonly Running[];
	readonly roles: readonly ProxyRole[];
	/** Of its largest proxy before any load, once it has settled (`withIdleMemory`); NaN before that. */
	readonly idleRssMb: number;
	/** Stops the proxies and what they were configured from. */
	readonly stop: () => Promise<void>;
};

export type Surroundings = {
	readonly backends: Backends;
	readonly certificates: CertificateFiles;
	/** Each proxy gets a folder of its own in it. */
	readonly folder: string;
};

/**
 * Starts a peer's proxies and makes sure that they do what is to be measured: the whole answer arrives, and the port between the two
 * proxies of the hop serves nobody without a certificate. Stops what it started when that fails.
 * @throws Error with what the proxy printed
 */
export async function startSubject(peer: Peer, name: ScenarioName, around: Surroundings): Promise<Subject> {
	const scenario = scenarios[name];
	const roles = await buildRoles(peer, name, around);
	const processes: Running[] = [];
	const sources: AdsSource[] = [];
	const stop = async (): Promise<void> => {
		await Promise.all(processes.map((process) => process.stop()));
		for (const source of sources) source.stop();
	};
	try {
		for (const [index, role] of roles.entries()) {
			if (scenario.overAds) sources.push(await startAdsSource(buildAdsResources(role)));
			const adsPort = sources[index]?.port;
			processes.push(startProxy(peer, adsPort === undefined ? role : { ...role, adsPort }, folderOf(around, peer, name, index)));
		}
		const expected = buildExpected(scenario, roles[0]?.listenPort ?? 0);
		await waitForAnswer(expected, () => processes.some((process) => process.exited()));
		for (const role of roles) {
			if (role.listenTls === "mutual" && !(await refusesStrangers(role.listenPort))) throw new Error("the hop serves a client without a certificate");
		}
		return { peer, scenario: name, request: buildRequest(scenario, expected, around.backends), processes, roles, idleRssMb: Number.NaN, stop };
	} catch (error) {
		await stop();
		const said = [...sources.flatMap((source) => source.refusals()), ...processes.map((process) => process.output().trim())].join("\n");
		throw new Error(`${peer.name}, ${name}: ${error instanceof Error ? error.message : String(error)}\n${said.slice(0, 2_000)}`, { cause: error });
	}
}

/** Reads what a started peer holds while nothing is asked of it. */
export function withIdleMemory(subject: Subject): Subject {
	return { ...subject, idleRssMb: largest(subject.processes.map((process) => readMemory(process.pid))).rssKb / 1024 };
}

async function buildRoles(peer: Peer, name: ScenarioName, around: Surroundings): Promise<readonly ProxyRole[]> {
	const scenario = scenarios[name];
	const { protocol, listenTls, isGrpc, hasMesh, proxies } = scenario;
	const { backends, certificates } = around;
	const [front = 0, back = 0, adminFront = 0, adminBack = 0] = await freePorts(4);
	const grpcPort = backends.grpcPort ?? 0;
	const upstreamPort = isGrpc ? grpcPort : protocol === "http2" ? backends.http2Port : backends.http1Port;
	const mesh = (index: number, inbound: boolean, outbound: boolean): { readonly mesh: MeshRole } | Record<string, never> => {
		if (!hasMesh) return {};
		const accessLog = join(folderOf(around, peer, name, index), "access.log");
		return { mesh: { inbound, outbound, accessLog, collectorPort: backends.http1Port, collectorPath: collectorPath(peer, name) } };
	};
	const shared = { protocol, certificates, ...(scenario.routes === undefined ? {} : { routes: scenario.routes }) };
	if (proxies === 1) {
		return [{ ...shared, listenPort: front, listenTls, upstreamPort, upstreamTls: false, adminPort: adminFront, ...mesh(0, true, true) }];
	}
	return [
		{ ...shared, listenPort: front, listenTls, upstreamPort: back, upstreamTls: true, adminPort: adminFront, ...mesh(0, false, true) },
		{ ...shared, listenPort: back, listenTls: "mutual", upstreamPort, upstreamTls: false, adminPort: adminBack, ...mesh(1, true, false) },
	];
}

/** What a peer's spans of a scenario are posted to. */
export function collectorPath(peer: Peer, name: ScenarioName): string {
	return `${spansPath}${name}-${peer.name}`;
}

function folderOf({ folder }: Surroundings, peer: Peer, name: ScenarioName, index: number): string {
	return join(folder, `${name}-${peer.name}-${index}`);
}

function buildExpected(scenario: Scenario, port: number): Expected {
	const origin = `${scenario.listenTls === "none" ? "http" : "https"}://127.0.0.1:${port}`;
	if (scenario.isGrpc) return { url: `${origin}${grpcPath}`, kind: "grpc", bodyBytes: grpcBodyBytes, post: grpcMessage() };
	if (scenario.body === "bulk") return { url: `${origin}${bulkPath}`, kind: "http1", bodyBytes: bulkBodyBytes };
	const path = scenario.routes === undefined ? "/" : routePath(scenario.routes - 1);
	const host = scenario.hasMesh ? { host: meshHost } : {};
	return { url: `${origin}${path}`, kind: scenario.protocol === "http2" ? "http2" : "http1", bodyBytes: smallBodyBytes, ...host };
}

function buildRequest(scenario: Scenario, { url, host }: Expected, { grpcMessageFile }: Backends): LoadRequest {
	const headers = [...(scenario.closes ? ["connection: close"] : []), ...(scenario.isGrpc ? ["content-type: application/grpc", "te: trailers"] : [])];
	const named = host === undefined ? {} : { host };
	const post = scenario.isGrpc ? { postFile: grpcMessageFile } : {};
	return { url, http2: scenario.protocol === "http2", headers, connectionShare: scenario.body === "bulk" ? bulkConnectionShare : 1, ...named, ...post };
}

function startProxy(peer: Peer, role: ProxyRole, folder: string): Running {
	mkdirSync(folder, { recursive: true });
	const isEnvoyFile = peer.name === "envoy" || peer.name === "weft-proxy";
	const file = join(folder, isEnvoyFile ? "bootstrap.json" : `${peer.name}.cfg`);
	writeFileSync(file, buildConfig(peer, role));
	return startPinned(proxyCore, peer.command(file, folder), folder, peer.environment);
}

function buildConfig(peer: Peer, role: ProxyRole): string {
	if (peer.name === "nginx") return buildNginxConfig(role, peer.streamModule);
	return peer.name === "haproxy" ? buildHaproxyConfig(role) : buildEnvoyConfig(role);
}
