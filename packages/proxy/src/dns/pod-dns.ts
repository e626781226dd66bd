import { readFileSync } from "node:fs";
import type { Logger } from "@weft/runtime";
import type { NameTable } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import { dnsPort, startDnsServer } from "./dns-server.ts";
import { compileNames } from "./name-lookup.ts";
import { parseResolvConf } from "./resolv-conf.ts";

export interface PodDns {
	setTable(table: NameTable): void;
	close(): Promise<void>;
}

/** Answers the DNS queries of a pod's application, which capture sends to port 15053. Rejects when the port is taken. */
export async function startPodDns(place: { readonly namespace: string; readonly domain: string }, logger: Logger): Promise<PodDns> {
	const { servers, search } = parseResolvConf(readFileSync("/etc/resolv.conf", "utf8"));
	const upstream = servers.map((host) => ({ host, port: 53 }));
	const server = await startDnsServer({ port: dnsPort, hosts: ["127.0.0.1", "::1"], upstream, logger });
	logger.info("DNS is answered", { port: dnsPort, upstream: servers.join(",") });
	return { setTable: (table) => server.setNames(compileNames(table, { ...place, search })), close: () => server.close() };
}
