import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { suite, test } from "node:test";
import type { Json } from "@weft/xds";
import { findEnvoy } from "../../../scripts/peers-find.mjs";
import { corpus, loadCase } from "../scripts/golden-cases.ts";
import { type OfflineResources, translateAll } from "./translator/offline.ts";

// A stock Envoy checks everything that the protos and its extensions demand; it knows none of Istio's own extensions.

const cases = [
	"base/productpage",
	"base/tcp-echo",
	"base/db",
	"gateway/http",
	"destinationrule-other/subset-overrides",
	"serviceentry/dns-http",
	"sidecar/ingress",
];

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

function bootstrap({ cds, eds, lds, rds }: OfflineResources): Json {
	const assignments = eds.map((loadAssignment, index) => ({ name: `assignment-${index}`, type: "STATIC", connectTimeout: "1s", loadAssignment }));
	return {
		node: { id: "test", cluster: "test" },
		dynamicResources: { adsConfig: { apiType: "GRPC", transportApiVersion: "V3", grpcServices: [{ envoyGrpc: { clusterName: "xds-grpc" } }] } },
		staticResources: {
			clusters: [grpcCluster("xds-grpc"), grpcCluster("sds-grpc"), ...cds, ...assignments],
			listeners: [...lds, ...rds.map(routeListener)],
		},
	};
}

const envoy = findEnvoy();
const missing = envoy === undefined ? "there is no Envoy (npm run peers)" : existsSync(corpus) ? undefined : "the golden corpus is not beside the repository";

suite("a stock Envoy accepts what it is sent", { skip: missing ?? false }, () => {
	for (const name of cases) {
		test(name, () => {
			const { push, node } = loadCase(name, { ISTIO_VERSION: "" });
			const folder = mkdtempSync(path.join(os.tmpdir(), "weft-envoy-"));
			try {
				const file = path.join(folder, "bootstrap.json");
				writeFileSync(file, JSON.stringify(bootstrap(translateAll(push, node))));
				const result = spawnSync(envoy ?? "", ["--mode", "validate", "-c", file, "--log-level", "error"], { encoding: "utf8", timeout: 30_000 });
				assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
			} finally {
				rmSync(folder, { recursive: true });
			}
		});
	}
});
