import assert from "node:assert/strict";
import { test } from "node:test";
import { unpackAny } from "@weft/xds";
import { StatefulSessionPerRoute } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { CookieBasedSessionState } from "@weft/xds/generated/envoy/extensions/http/stateful_session/cookie/v3/cookie.ts";
import { buildListeners } from "../listeners/index.ts";
import { contextOf, createTestMesh, routeTable, service } from "./test-mesh.ts";

const route = (session: string) => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: default}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules: [{matches: [{path: {value: /a}}], backendRefs: [{name: web, port: 8000}]${session}}]
---`;
const services = service("web", "{name: http, port: 8000}");
const managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const filterName = "envoy.filters.http.stateful_session";

function filters(yaml: string, mesh = createTestMesh()): readonly string[] {
	const listener = buildListeners(contextOf(mesh.apply(yaml))).find(({ name }) => name === "0.0.0.0_8000");
	const [filter] = listener?.filterChains[0]?.filters ?? [];
	return unpackAny(managerType, HttpConnectionManager, filter?.typedConfig)?.httpFilters.map(({ name }) => name) ?? [];
}

test("a route that keeps sessions says how, and the filter that it configures is there then only", () => {
	const mesh = createTestMesh();
	assert.ok(!filters(services + route(""), mesh).includes(filterName));
	const names = filters(services + route(", sessionPersistence: {sessionName: s, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}"), mesh);
	assert.deepEqual(names.slice(-2), [filterName, "envoy.filters.http.router"]);
	const context = contextOf(mesh.apply(""));
	const { virtualHosts } = routeTable(context, "8000");
	const built = virtualHosts.flatMap(({ routes }) => routes).find(({ typedPerFilterConfig }) => Object.hasOwn(typedPerFilterConfig, filterName));
	const typeName = "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute";
	const config = unpackAny(typeName, StatefulSessionPerRoute, built?.typedPerFilterConfig[filterName]);
	const state = config?.statefulSession?.sessionState?.typedConfig;
	const { cookie } = unpackAny("envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState", CookieBasedSessionState, state) ?? {};
	assert.deepEqual([cookie?.name, cookie?.path, Number(cookie?.ttl?.seconds)], ["s", "/a", 3600]);
	assert.ok(!filters(route(""), mesh).includes(filterName), "it goes with the last such route");
});
