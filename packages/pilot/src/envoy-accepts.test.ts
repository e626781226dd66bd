import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { suite, test } from "node:test";
import type { Json } from "@weft/xds";
import { findEnvoy } from "../../../scripts/peers-find.mjs";
import { corpus, families, listCases, loadCase } from "../scripts/golden-cases.ts";
import { type OfflineResources, translateAll } from "./translator/offline.ts";

// A stock Envoy checks everything that the protos and its extensions demand; it knows none of Istio's own extensions.

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;

/** A cluster that the resources refer to, as a proxy's bootstrap has it. */
function grpcCluster(name: string): Json {
	const options = { "@type": v3("upstreams.http.v3.HttpProtocolOptions"), explicitHttpConfig: { http2ProtocolOptions: {} } };
	return { name, type: "STATIC", connectTimeout: "1s", typedExtensionProtocolOptions: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options } };
}

/** Routes are checked inside a listener of their own. */
function routeListener(routeConfig: Json, index: number): Json {
	const filters: readonly (readonly [string, string])[] = [
		["fault", "filters.http.fault.v3.HTTPFault"],
		["cors", "filters.http.cors.v3.Cors"],
		["router", "filters.http.router.v3.Router"],
	];
	const httpFilters = filters.map(([name, type]) => ({ name: `envoy.filters.http.${name}`, typedConfig: { "@type": v3(type) } }));
	const typedConfig = { "@type": v3("filters.network.http_connection_manager.v3.HttpConnectionManager"), statPrefix: "routes", routeConfig, httpFilters };
	const address = { socketAddress: { address: "127.0.0.1", portValue: 20_000 + index } };
	return { name: `routes-${index}`, address, filterChains: [{ filters: [{ name: "http", typedConfig }] }] };
}

/** A filter configuration that comes by ECDS, in the place where it would be used. */
function extensionListener(config: Json, index: number): Json {
	const router = { name: "envoy.filters.http.router", typedConfig: { "@type": v3("filters.http.router.v3.Router") } };
	const typedConfig = {
		"@type": v3("filters.network.http_connection_manager.v3.HttpConnectionManager"),
		statPrefix: "extension",
		routeConfig: {},
		httpFilters: [config, router],
	};
	const address = { socketAddress: { address: "127.0.0.1", portValue: 30_000 + index } };
	return { name: `extension-${index}`, address, filterChains: [{ filters: [{ name: "http", typedConfig }] }] };
}

/** Modules are fetched by the agent, which puts a file in their place. */
const isWasm = (config: Json) => JSON.stringify(config).includes("wasm.v3.Wasm");

function bootstrap({ cds, eds, lds, rds, ecds }: OfflineResources): Json {
	const assignments = eds.map((loadAssignment, index) => ({ name: `assignment-${index}`, type: "STATIC", connectTimeout: "1s", loadAssignment }));
	return {
		node: { id: "test", cluster: "test" },
		dynamicResources: { adsConfig: { apiType: "GRPC", transportApiVersion: "V3", grpcServices: [{ envoyGrpc: { clusterName: "xds-grpc" } }] } },
		staticResources: {
			clusters: [grpcCluster("xds-grpc"), grpcCluster("sds-grpc"), ...cds, ...assignments],
			listeners: [...lds, ...rds.map(routeListener), ...ecds.filter((config) => !isWasm(config)).map(extensionListener)],
		},
	};
}

type Kind = keyof OfflineResources;
const resourceKinds: readonly Kind[] = ["cds", "eds", "lds", "rds", "ecds"];

/** Two listeners cannot have one address; nothing is bound here. */
const addressOf = (index: number): Json => ({ socketAddress: { address: "127.0.0.1", portValue: 1000 + index } });

/**
 * Everything that the cases send, each different resource once: the first of a name keeps it, so that references find it;
 * the others are told apart by the case they are from.
 */
function collect(cases: readonly string[]): OfflineResources {
	const seen: Record<Kind, Map<string, Json>> = { cds: new Map(), eds: new Map(), lds: new Map(), rds: new Map(), ecds: new Map() };
	const names = new Set<string>();
	for (const name of cases) {
		const { push, node } = loadCase(name, { ISTIO_VERSION: "" });
		const resources = translateAll(push, node);
		for (const kind of resourceKinds) {
			for (const resource of resources[kind] as readonly { readonly name?: string; readonly [key: string]: Json | undefined }[]) {
				const text = JSON.stringify(resource);
				if (seen[kind].has(text)) continue;
				const own = `${kind} ${resource.name}`;
				const renamed = names.has(own) && resource.name !== undefined ? { ...resource, name: `${resource.name}~${name}` } : resource;
				names.add(own);
				seen[kind].set(text, (kind === "lds" ? { ...renamed, address: addressOf(seen.lds.size) } : renamed) as Json);
			}
		}
	}
	const list = (kind: Kind) => [...seen[kind].values()];
	return { cds: list("cds"), eds: list("eds"), lds: list("lds"), rds: list("rds"), ecds: list("ecds") };
}

const envoy = findEnvoy();
const missing = envoy === undefined ? "there is no Envoy (npm run peers)" : existsSync(corpus) ? undefined : "the golden corpus is not beside the repository";

suite("a stock Envoy accepts whatever any case of the corpus sends", { skip: missing ?? false }, () => {
	for (const family of families) {
		test(family, () => {
			const folder = mkdtempSync(path.join(os.tmpdir(), "weft-envoy-"));
			try {
				const file = path.join(folder, "bootstrap.json");
				// Envoy opens its logs at once; what it has for standard output here is no file.
				const text = JSON.stringify(bootstrap(collect(listCases([family])))).replaceAll(/\/dev\/std(?:out|err)|\/var\/log\/[\w.]+/g, path.join(folder, "log"));
				writeFileSync(file, text);
				const result = spawnSync(envoy ?? "", ["--mode", "validate", "-c", file, "--log-level", "error"], { encoding: "utf8", timeout: 60_000 });
				assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
			} finally {
				rmSync(folder, { recursive: true });
			}
		});
	}
});
