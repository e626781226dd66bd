import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { buildPush } from "../../model/build-push.ts";
import { decodeNode } from "../../model/node.ts";
import { type OfflineResources, translateAll } from "../offline.ts";
import { createTestMesh } from "../routes/test-mesh.ts";

const mesh = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-1, namespace: default}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: default}
spec: {hosts: [far.example.com], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}], endpoints: [{address: 10.9.9.9}]}
---
`;

const rule = (host: string, tls: string) =>
	`apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: default}\nspec: {host: ${host}, trafficPolicy: {tls: ${tls}}}\n`;

function resourcesOf(metadata: Readonly<Record<string, string>>, yaml = ""): OfflineResources {
	const test = createTestMesh();
	test.apply(mesh + yaml);
	const push = buildPush({ snapshot: test.store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	const node = { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.0.0.1", ...metadata };
	return translateAll(push, decodeNode({ id: "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local", metadata: node }, push));
}

type Any = Readonly<Record<string, unknown>>;

/** Names of the secrets anywhere inside. */
function secrets(value: unknown): readonly string[] {
	if (Array.isArray(value)) return [...new Set(value.flatMap(secrets))];
	if (typeof value !== "object" || value === null) return [];
	const own = "sdsConfig" in value && "name" in value ? [String(value.name)] : [];
	return [...new Set([...own, ...Object.values(value).flatMap(secrets)])];
}

const clusterOf = ({ cds }: OfflineResources, host: string) => (cds as readonly Any[]).find(({ name }) => String(name).endsWith(`|${host}`)) ?? {};
const web = "web.default.svc.cluster.local";
const client = { TLS_CLIENT_CERT_CHAIN: "/c/chain", TLS_CLIENT_KEY: "/c/key", TLS_CLIENT_ROOT_CERT: "/c/root" };
const ofClient = ["file-cert:/c/chain~/c/key", "file-root:/c/root"];
const ofMesh = ["default", "ROOTCA"];

suite("certificates that a proxy names in its metadata", () => {
	test("are shown to the mesh's services, whatever their endpoints say", () => {
		const cluster = clusterOf(resourcesOf(client), web);
		assert.deepEqual(secrets(cluster), ofClient);
		assert.equal(cluster["transportSocketMatches"], undefined);
		const { sni, commonTlsContext } = (cluster["transportSocket"] as { typedConfig: { sni: string; commonTlsContext: Any } }).typedConfig;
		assert.equal(sni, `outbound_.80_._.${web}`);
		assert.match(JSON.stringify(commonTlsContext), /spiffe:\/\/cluster\.local\/ns\/default\/sa\/web/);
	});

	for (const [title, host, tls, expected] of [
		["of a rule for the mesh's own TLS count", web, "{mode: ISTIO_MUTUAL}", ofClient],
		["count over those of a rule", web, "{mode: MUTUAL, clientCertificate: /r/chain, privateKey: /r/key, caCertificates: /r/root}", ofClient],
		[
			"leave servers of the outside to the rule",
			"far.example.com",
			"{mode: MUTUAL, clientCertificate: /r/chain, privateKey: /r/key, caCertificates: /r/root}",
			["file-cert:/r/chain~/r/key", "file-root:/r/root"],
		],
		["are not shown where the rule wants none", web, "{mode: SIMPLE, caCertificates: /r/root}", ["file-root:/r/root"]],
		["nor in plain text", web, "{mode: DISABLE}", []],
	] as const) {
		test(title, () => assert.deepEqual(secrets(clusterOf(resourcesOf(client, rule(host, tls)), host)), expected));
	}

	test("without a key are none: the mesh's own is shown, never none at all", () => {
		assert.deepEqual(secrets(clusterOf(resourcesOf({ TLS_CLIENT_CERT_CHAIN: "/c/chain" }), web)), ofMesh);
	});

	test("without roots are held against the system's", () => {
		assert.deepEqual(secrets(clusterOf(resourcesOf({ ...client, TLS_CLIENT_ROOT_CERT: "" }), web)), [ofClient[0], "file-root:system"]);
	});

	test("are a proxy's own: others of its class are not given them", () => {
		const test = createTestMesh();
		test.apply(mesh);
		const push = buildPush({ snapshot: test.store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
		const of = (metadata: object) => {
			const node = { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.0.0.1", ...metadata };
			return translateAll(push, decodeNode({ id: "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local", metadata: node }, push));
		};
		const server = { TLS_SERVER_CERT_CHAIN: "/s/chain", TLS_SERVER_KEY: "/s/key" };
		const seen = [client, {}, { ...client, TLS_CLIENT_KEY: "/c/other" }, server, {}].map(of);
		assert.deepEqual(
			seen.map((resources) => secrets(clusterOf(resources, web))),
			[ofClient, ofMesh, ["file-cert:/c/chain~/c/other", "file-root:/c/root"], ofMesh, ofMesh],
		);
		assert.deepEqual(
			seen.map(({ lds }) => secrets(lds)),
			[ofMesh, ofMesh, ofMesh, ["file-cert:/s/chain~/s/key", "ROOTCA"], ofMesh],
		);
	});

	for (const [title, metadata, expected] of [
		["show clients a pair of their own", { TLS_SERVER_CERT_CHAIN: "/s/chain", TLS_SERVER_KEY: "/s/key" }, ["file-cert:/s/chain~/s/key", "ROOTCA"]],
		["hold clients against roots of their own", { TLS_SERVER_ROOT_CERT: "/s/root" }, ["default", "file-root:/s/root"]],
		["show the mesh's own without a key", { TLS_SERVER_CERT_CHAIN: "/s/chain" }, ofMesh],
	] as const) {
		test(`servers ${title}`, () => assert.deepEqual(secrets(resourcesOf(metadata).lds), expected));
	}
});
