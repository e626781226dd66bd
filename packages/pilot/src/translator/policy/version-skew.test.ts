import assert from "node:assert/strict";
import { it } from "node:test";
import { registerMessages, toJson } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { buildListeners } from "../listeners/index.ts";
import { contextOf, createTestMesh, service } from "../routes/test-mesh.ts";

registerMessages(allMessages);

const policy = (name: string, spec: object) =>
	`${JSON.stringify({ apiVersion: "security.istio.io/v1", kind: name, metadata: { name: "p", namespace: "default" }, spec })}\n---\n`;

it("sec/b18: proxies of other releases get the same policies, byte for byte", () => {
	const pod = {
		apiVersion: "v1",
		kind: "Pod",
		metadata: { name: "client", namespace: "default", labels: { app: "web" } },
		status: { phase: "Running", podIP: "10.0.0.9", podIPs: [{ ip: "10.0.0.9" }] },
		spec: { serviceAccountName: "web", containers: [{ name: "app" }] },
	};
	const push = createTestMesh().apply(
		`${service("web", "{name: http, port: 80, targetPort: 8080}, {name: tcp-x, port: 90, targetPort: 9090}")}\n${JSON.stringify(pod)}\n---\n` +
			policy("PeerAuthentication", { mtls: { mode: "STRICT" } }) +
			policy("RequestAuthentication", { jwtRules: [{ issuer: "https://i.test", jwks: '{"keys":[]}' }] }) +
			policy("AuthorizationPolicy", {
				rules: [
					{
						from: [{ source: { principals: ["*/sa/a"], notNamespaces: ["b"], remoteIpBlocks: ["10.0.0.0/8"] } }],
						to: [{ operation: { paths: ["/a/{*}", "/b*"], methods: ["GET"], hosts: ["h"] } }],
						when: [{ key: "request.auth.claims[x]", values: ["y"] }],
					},
				],
			}),
	);
	/** Without what may differ: how it is traced. */
	const inbound = (version: string) => {
		const context = contextOf(push, { ISTIO_VERSION: version, LABELS: { app: "web" }, SERVICE_ACCOUNT: "web" });
		const listener = buildListeners(context).find(({ name }) => name === "virtualInbound");
		assert.ok(listener);
		return JSON.stringify(toJson("envoy.config.listener.v3.Listener", listener), (name, value: unknown) => (name === "tracing" ? undefined : value));
	};
	const present = inbound("1.30.3");
	for (const filter of ["envoy.filters.http.rbac", "envoy.filters.network.rbac", "envoy.filters.http.jwt_authn", "ns[default]-policy[p]-rule[0]"]) {
		assert.ok(present.includes(filter), filter);
	}
	for (const version of ["1.29.0", "1.28.4", "1.31.0"]) assert.ok(inbound(version) === present, `${version} gets something else`);
});
