import { createHash } from "node:crypto";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { createLogger, systemClock } from "@weft/runtime";
import { fromJson, messageFns, registerMessages, stripTypeUrl, typeUrls } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { adsService, type EncodedResource, type ResourceView } from "@weft/xds/server";
import type { AdsResources } from "./envoy-config.ts";
import type { EnvoyJson } from "./envoy-json.ts";

export type AdsSource = {
	readonly port: number;
	/** What the client refused, by its own words; empty when it took everything. */
	readonly refusals: () => readonly string[];
	readonly stop: () => void;
};

/** An ADS server in this process, clear text on loopback, that sends one fixed set of resources to whoever connects. */
export async function startAdsSource(resources: AdsResources): Promise<AdsSource> {
	registerMessages(allMessages);
	const view = buildView(resources);
	const refusals: string[] = [];
	const { definition, implementation } = adsService({
		delegate: {
			connected: (client) => client.push(view),
			disconnected: () => undefined,
			nacked: (_client, type, message) => refusals.push(`${type}: ${message}`),
		},
		clock: systemClock,
		logger: createLogger({ level: "error" }),
		identify: () => undefined,
	});
	const server = new Server();
	server.addService(definition, implementation);
	const port = await new Promise<number>((resolve, reject) => {
		server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error)));
	});
	return { port, refusals: () => refusals, stop: () => server.forceShutdown() };
}

function buildView(resources: AdsResources): ResourceView {
	const byType = new Map<string, ReadonlyMap<string, EncodedResource>>(
		(["cds", "eds", "lds", "rds"] as const).map((type) => {
			const resource = encode(typeUrls[type], resources[type]);
			return [type, new Map([[resource.name, resource]])];
		}),
	);
	const none: ReadonlyMap<string, EncodedResource> = new Map();
	return {
		version: "1",
		all: (type) => byType.get(type) ?? none,
		get: (type, name) => byType.get(type)?.get(name),
		revision: () => 1,
		changes: () => undefined,
		members: () => undefined,
	};
}

function encode(typeUrl: string, json: EnvoyJson): EncodedResource {
	const typeName = stripTypeUrl(typeUrl);
	const fns = messageFns(typeName);
	if (fns === undefined) throw new Error(`no codec for ${typeName}`);
	const bytes = fns.encode(fns.fromPartial(fromJson(typeName, json) as object)).finish();
	const name = json["name"] ?? json["cluster_name"];
	return { name: String(name), version: createHash("sha256").update(bytes).digest("hex").slice(0, 16), bytes };
}
