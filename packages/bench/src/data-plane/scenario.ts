import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AdsSource, startAdsSource } from "./ads-source.ts";
import { buildAdsResources, buildEnvoyConfig } from "./envoy-config.ts";
import { buildHaproxyConfig } from "./haproxy-config.ts";
import { buildNginxConfig } from "./nginx-config.ts";
import type { Peer, PeerName } from "./peers.ts";
import { type Running, startPinned } from "./process-group.ts";
import { freePorts, refusesStrangers, waitForBody } from "./readiness.ts";
import type { CertificateFiles, ProxyRole } from "./topology.ts";

export const scenarioNames = ["plain", "hop", "ads", "h2c", "h2hop"] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export const scenarioTitles: Readonly<Record<ScenarioName, string>> = {
	plain: "HTTP/1.1 keep-alive, 1 KB, one proxy",
	hop: "HTTP/1.1 keep-alive, 1 KB, through two proxies with mutual TLS 1.3 between them",
	ads: "HTTP/1.1 keep-alive, 1 KB, one proxy, everything over delta ADS",
	h2c: "HTTP/2 in clear text, 1 KB, one proxy",
	h2hop: "HTTP/2 in clear text, 1 KB, through two proxies with HTTP/2 over mutual TLS 1.3 between them",
};

export const proxyCore = 0;
export const loadCore = 1;

/** The started proxies of one peer in one scenario. */
export type Subject = {
	readonly peer: Peer;
	readonly url: string;
	readonly http2: boolean;
	readonly processes: readonly Running[];
	/** Stops the proxies and what they were configured from. */
	readonly stop: () => Promise<void>;
};

const builders: Readonly<Record<PeerName, (role: ProxyRole) => string>> = {
	nginx: buildNginxConfig,
	haproxy: buildHaproxyConfig,
	envoy: buildEnvoyConfig,
	"weft-proxy": buildEnvoyConfig,
};

/** Whether a peer can take part: nginx and haproxy know nothing of xDS, and nginx speaks HTTP/2 to clients alone. */
export function takesPart(peer: PeerName, scenario: ScenarioName): boolean {
	if (speaksHttp2(scenario)) return peer !== "nginx";
	return scenario !== "ads" || peer === "envoy" || peer === "weft-proxy";
}

export function speaksHttp2(scenario: ScenarioName): boolean {
	return scenario === "h2c" || scenario === "h2hop";
}

/**
 * Starts a peer's proxies and makes sure that they do what is to be measured: the whole body arrives, and the port between the two
 * proxies of the hop serves nobody without a certificate. Stops what it started when that fails.
 * @throws Error with what the proxy printed
 */
export async function startSubject(
	peer: Peer,
	scenario: ScenarioName,
	backendPort: number,
	bodyBytes: number,
	certificates: CertificateFiles,
	parent: string,
): Promise<Subject> {
	const roles = await buildRoles(scenario, backendPort, certificates);
	const processes: Running[] = [];
	const sources: AdsSource[] = [];
	const stop = async (): Promise<void> => {
		await Promise.all(processes.map((process) => process.stop()));
		for (const source of sources) source.stop();
	};
	try {
		for (const [index, role] of roles.entries()) {
			const folder = join(parent, `${scenario}-${peer.name}-${index}`);
			if (scenario === "ads") sources.push(await startAdsSource(buildAdsResources(role)));
			const adsPort = sources[index]?.port;
			processes.push(startProxy(peer, adsPort === undefined ? role : { ...role, adsPort }, folder));
		}
		const url = `http://127.0.0.1:${roles[0]?.listenPort ?? 0}/`;
		await waitForBody(url, speaksHttp2(scenario), bodyBytes, () => processes.some((process) => process.exited()));
		for (const role of roles) {
			if (role.listenTls && !(await refusesStrangers(role.listenPort))) throw new Error("the hop serves a client without a certificate");
		}
		return { peer, url, http2: speaksHttp2(scenario), processes, stop };
	} catch (error) {
		await stop();
		const said = [...sources.flatMap((source) => source.refusals()), ...processes.map((process) => process.output().trim())].join("\n");
		throw new Error(`${peer.name}, ${scenario}: ${error instanceof Error ? error.message : String(error)}\n${said.slice(0, 2_000)}`, { cause: error });
	}
}

async function buildRoles(scenario: ScenarioName, backendPort: number, certificates: CertificateFiles): Promise<readonly ProxyRole[]> {
	const [front = 0, back = 0, adminFront = 0, adminBack = 0] = await freePorts(4);
	const shared = { http2: speaksHttp2(scenario), certificates };
	if (scenario !== "hop" && scenario !== "h2hop") {
		return [{ ...shared, listenPort: front, listenTls: false, upstreamPort: backendPort, upstreamTls: false, adminPort: adminFront }];
	}
	return [
		{ ...shared, listenPort: front, listenTls: false, upstreamPort: back, upstreamTls: true, adminPort: adminFront },
		{ ...shared, listenPort: back, listenTls: true, upstreamPort: backendPort, upstreamTls: false, adminPort: adminBack },
	];
}

function startProxy(peer: Peer, role: ProxyRole, folder: string): Running {
	mkdirSync(folder, { recursive: true });
	const isEnvoyFile = peer.name === "envoy" || peer.name === "weft-proxy";
	const file = join(folder, isEnvoyFile ? "bootstrap.json" : `${peer.name}.cfg`);
	writeFileSync(file, builders[peer.name](role));
	return startPinned(proxyCore, peer.command(file, folder), folder, peer.environment);
}
