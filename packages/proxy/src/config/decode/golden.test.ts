import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { fromJson, registerMessages } from "@weft/xds";
import type { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import type { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { allMessages } from "@weft/xds/registry";
import { decodeAssignment, decodeCluster, decodeExtensionConfig, decodeListener, decodeRouteTable } from "./index.ts";

// What a real istiod answers; kept beside the repository, not in it.
const folder = process.env["WEFT_GOLDEN_DIR"] ?? join(import.meta.dirname, "../../../../../../shared/golden/istiod");
const environment = { readFile: () => Buffer.alloc(0), variable: () => undefined };

// Extensions that a later release brings; a response that has them is refused with a message that names them.
const later =
	/(rbac|jwt_authn|ext_authz|lua|wasm|open_telemetry|OpenTelemetry|zipkin|cel|Zipkin|uri_template|proxy_protocol|ProxyProtocol).*is not implemented$|tracing\.provider: .* is not implemented$|no factory found for a required type URL \S+\.(Lua|Wasm): it is not implemented$|dynamic_metadata is not implemented$/;

const kinds = {
	lds: (json: unknown) => decodeListener(fromJson("envoy.config.listener.v3.Listener", json) as Listener, environment),
	rds: (json: unknown) => decodeRouteTable(fromJson("envoy.config.route.v3.RouteConfiguration", json) as RouteConfiguration, environment),
	cds: (json: unknown) => decodeCluster(fromJson("envoy.config.cluster.v3.Cluster", json) as Cluster, environment),
	ecds: (json: unknown) => decodeExtensionConfig(fromJson("envoy.config.core.v3.TypedExtensionConfig", json) as TypedExtensionConfig, environment),
	eds: (json: unknown) => decodeAssignment(fromJson("envoy.config.endpoint.v3.ClusterLoadAssignment", json) as ClusterLoadAssignment),
};

describe("what istiod sends", { skip: existsSync(folder) ? false : `no golden files at ${folder}` }, () => {
	before(() => registerMessages(allMessages));
	for (const [kind, decode] of Object.entries(kinds)) {
		it(`decodes every ${kind} resource`, () => {
			const found = new Map<string, string>();
			let resources = 0;
			for (const file of globSync(`**/${kind}.json`, { cwd: folder })) {
				for (const resource of resourcesIn(join(folder, file))) {
					resources++;
					const { value, errors } = decode(resource);
					const bad = errors.filter((error) => !later.test(error));
					if (errors.length === 0) assert.ok(value);
					for (const error of bad) found.set(error.replaceAll(/\d+/g, "N"), `${file}: ${error}`);
				}
			}
			assert.ok(resources > 0);
			assert.deepEqual([...found.values()], []);
		});
	}
});

/** A whole set, or what differs from the base. */
function resourcesIn(file: string): readonly unknown[] {
	const json = JSON.parse(readFileSync(file, "utf8")) as readonly unknown[] | { readonly changed: readonly unknown[] };
	return "changed" in json ? json.changed : json;
}
