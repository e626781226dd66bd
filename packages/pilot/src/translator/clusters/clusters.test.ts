import assert from "node:assert/strict";
import { test } from "node:test";
import { unpackAny } from "@weft/xds";
import { Cluster, Cluster_DiscoveryType, Cluster_LbPolicy } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { UpstreamTlsContext } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/tls.ts";
import { HttpProtocolOptions } from "@weft/xds/generated/envoy/extensions/upstreams/http/v3/http_protocol_options.ts";
import type { MeshConfig } from "@weft/api";
import { contextOf, createTestMesh, service } from "../routes/test-mesh.ts";
import { translate } from "../translator.ts";

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: web, containers: [{name: app}]}
status: {podIP: 10.1.0.1}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: grpc, port: 9090}]
endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: web-1, namespace: default}}]
---
`;
const web = `${service("web", "{name: http, port: 80, targetPort: 8080}, {name: grpc, port: 90, targetPort: 9090}")}\n${pod}`;
const name = "outbound|80||web.default.svc.cluster.local";
const rule = (policy: string) =>
	`apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: default}\nspec: {host: web, trafficPolicy: ${policy}}\n---\n`;

function clusters(yaml: string, metadata: object = {}, meshConfig: MeshConfig = {}): ReadonlyMap<string, Cluster> {
	const { push, node } = contextOf(createTestMesh(meshConfig).apply(yaml), { ...metadata });
	return new Map([...translate(push, node).cds.resources].map(([key, { bytes }]) => [key, Cluster.decode(bytes)]));
}

function tlsOf(cluster: Cluster | undefined): UpstreamTlsContext | undefined {
	const socket = cluster?.transportSocket ?? cluster?.transportSocketMatches[0]?.transportSocket;
	return unpackAny("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", UpstreamTlsContext, socket?.typedConfig);
}

function optionsOf(cluster: Cluster | undefined): HttpProtocolOptions | undefined {
	const typeName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
	return unpackAny(typeName, HttpProtocolOptions, cluster?.typedExtensionProtocolOptions[typeName]);
}

test("a stock Envoy gets no filter of Istio's and no ALPN that promises one, and mutual TLS all the same", () => {
	const all = clusters(web, { ISTIO_VERSION: undefined });
	for (const [key, cluster] of all) assert.deepEqual(cluster.filters, [], key);
	assert.deepEqual(tlsOf(all.get(name))?.commonTlsContext?.alpnProtocols, ["istio"]);
	assert.deepEqual(tlsOf(all.get("outbound|90||web.default.svc.cluster.local"))?.commonTlsContext?.alpnProtocols, ["istio", "h2"]);
	assert.equal(tlsOf(all.get(name))?.sni, "outbound_.80_._.web.default.svc.cluster.local");
});

test("trust domain aliases are accepted in a server's identity", () => {
	const context = tlsOf(clusters(web, {}, { trustDomain: "td1", trustDomainAliases: ["td2"] }).get(name))?.commonTlsContext?.combinedValidationContext;
	assert.deepEqual(
		context?.defaultValidationContext?.matchSubjectAltNames.map(({ exact }) => exact),
		["spiffe://td1/ns/default/sa/web", "spiffe://td2/ns/default/sa/web"],
	);
});

const tlsCases: readonly (readonly [
	title: string,
	policy: string,
	sni: string,
	alpn: readonly string[],
	certificate: readonly string[],
	roots: string | undefined,
])[] = [
	["SIMPLE takes the system's roots", "{tls: {mode: SIMPLE}}", "", [], [], "file-root:system"],
	["insecureSkipVerify verifies nothing", "{tls: {mode: SIMPLE, insecureSkipVerify: true, sni: x.org}}", "x.org", [], [], undefined],
	["MUTUAL takes files", "{tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /a}}", "", [], ["file-cert:/c~/k"], "file-root:/a"],
	[
		"MUTUAL takes a Secret",
		"{tls: {mode: MUTUAL, credentialName: s}}, workloadSelector: {matchLabels: {app: client}}",
		"",
		[],
		["kubernetes://s"],
		"kubernetes://s-cacert",
	],
	[
		"ISTIO_MUTUAL takes the workload's own",
		"{tls: {mode: ISTIO_MUTUAL}}",
		"outbound_.80_._.web.default.svc.cluster.local",
		["istio-peer-exchange", "istio"],
		["default"],
		"ROOTCA",
	],
	["ISTIO_MUTUAL keeps the rule's SNI", "{tls: {mode: ISTIO_MUTUAL, sni: x.org}}", "x.org", ["istio-peer-exchange", "istio"], ["default"], "ROOTCA"],
];
test("without a workloadSelector no sidecar is given a Secret", () =>
	assert.equal(clusters(`${web}${rule("{tls: {mode: MUTUAL, credentialName: s}}")}`).get(name)?.transportSocket, undefined));

for (const [title, policy, sni, alpn, certificate, roots] of tlsCases) {
	test(title, () => {
		const cluster = clusters(web + rule(policy), { LABELS: { app: "client" } }).get(name);
		assert.deepEqual(cluster?.transportSocketMatches, []);
		const context = tlsOf(cluster);
		assert.equal(context?.sni, sni);
		assert.deepEqual(context?.commonTlsContext?.alpnProtocols, alpn);
		assert.deepEqual(
			context?.commonTlsContext?.tlsCertificateSdsSecretConfigs.map((secret) => secret.name),
			certificate,
		);
		assert.equal(context?.commonTlsContext?.combinedValidationContext?.validationContextSdsSecretConfig?.name, roots);
	});
}

test("without a SNI of its own, TLS that the mesh does not own takes it from the request, and checks the certificate against it", () => {
	const options = optionsOf(clusters(web + rule("{tls: {mode: SIMPLE}}")).get(name));
	assert.deepEqual([options?.upstreamHttpProtocolOptions?.autoSni, options?.upstreamHttpProtocolOptions?.autoSanValidation], [true, true]);
	const named = optionsOf(clusters(web + rule("{tls: {mode: SIMPLE, subjectAltNames: [x.org]}}")).get(name));
	assert.deepEqual([named?.upstreamHttpProtocolOptions?.autoSni, named?.upstreamHttpProtocolOptions?.autoSanValidation], [true, false]);
});

test("h2UpgradePolicy upgrades HTTP between sidecars, not towards the application", () => {
	const upgraded = clusters(web + rule("{connectionPool: {http: {h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 7}}}"), { INSTANCE_IPS: "10.1.0.1" });
	assert.equal(optionsOf(upgraded.get(name))?.explicitHttpConfig?.http2ProtocolOptions?.maxConcurrentStreams, 7);
	const byMesh = clusters(web, {}, { h2UpgradePolicy: "UPGRADE" });
	assert.ok(optionsOf(byMesh.get(name))?.explicitHttpConfig?.http2ProtocolOptions);
	const declined = clusters(web + rule("{connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}"), {}, { h2UpgradePolicy: "UPGRADE" });
	assert.equal(optionsOf(declined.get(name)), undefined);
});

test("http2KeepAlive becomes PINGs on the HTTP/2 connections of a cluster, and only there", () => {
	const pool = (rest: string) => rule(`{connectionPool: {http: {${rest}http2KeepAlive: {interval: 30s, timeout: 5s}}}}`);
	const keepalive = optionsOf(clusters(web + pool("h2UpgradePolicy: UPGRADE, ")).get(name))?.explicitHttpConfig?.http2ProtocolOptions?.connectionKeepalive;
	assert.deepEqual([keepalive?.interval?.seconds, keepalive?.timeout?.seconds], [30n, 5n]);
	const client = optionsOf(clusters(web + pool("useClientProtocol: true, ")).get(name))?.useDownstreamProtocolConfig?.http2ProtocolOptions;
	assert.equal(client?.connectionKeepalive?.timeout?.seconds, 5n);
	assert.equal(optionsOf(clusters(web + pool("")).get(name)), undefined);
});

const localInbound = { INTERCEPTION_MODE: "NONE", WEFT_LOCAL: { inbound: { 8080: { bind: "127.0.0.2:8080", endpoint: "127.0.0.1:41000" } }, outbound: {} } };

test("in local mode an inbound cluster goes to where the application really listens", () => {
	const { push } = contextOf(createTestMesh().apply(web));
	const context = contextOf(push, localInbound);
	const node = { ...context.node, name: "web-1", labels: { app: "web" } };
	const cluster = Cluster.decode(translate(push, node).cds.resources.get("inbound|8080||")?.bytes ?? new Uint8Array());
	assert.equal(cluster.type, Cluster_DiscoveryType.STATIC);
	assert.deepEqual(cluster.loadAssignment?.endpoints[0]?.lbEndpoints[0]?.endpoint?.address?.socketAddress?.portValue, 41_000);
});

test("in local mode nothing goes to an original destination", () => {
	const headless = "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: default}\nspec: {clusterIP: None, ports: [{name: tcp, port: 3306}]}\n---\n";
	const outside =
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: [x.example.org], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}\n---\n";
	const yaml = web + headless + outside + rule("{loadBalancer: {simple: PASSTHROUGH}}");
	const typesOf = (all: ReadonlyMap<string, Cluster>) =>
		["3306||db.default.svc.cluster.local", "80||x.example.org", "80||web.default.svc.cluster.local"].map((key) => all.get(`outbound|${key}`)?.type);
	const { EDS, ORIGINAL_DST, STRICT_DNS } = Cluster_DiscoveryType;
	assert.deepEqual(typesOf(clusters(yaml)), [ORIGINAL_DST, ORIGINAL_DST, ORIGINAL_DST]);
	const local = clusters(yaml, localInbound);
	assert.deepEqual(typesOf(local), [EDS, STRICT_DNS, EDS]);
	assert.equal(
		local.get("outbound|80||x.example.org")?.loadAssignment?.endpoints[0]?.lbEndpoints[0]?.endpoint?.address?.socketAddress?.address,
		"x.example.org",
	);
});

test("an assignment holds addresses only: names and entries without address are left out", () => {
	const entry =
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: [x.example.org], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: x}}}\n---\n";
	const workload = (id: string, where: string) =>
		`apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: ${id}, namespace: default}\nspec: {${where}, labels: {app: x}}\n---\n`;
	const yaml =
		entry +
		workload("a", "address: 192.0.2.1") +
		workload("b", "address: vm.example.org") +
		workload("c", "network: n") +
		workload("d", "address: 'unix:///run/x'");
	const { push, node } = contextOf(createTestMesh().apply(yaml));
	const bytes = translate(push, node).eds("outbound|80||x.example.org")?.bytes;
	const found = ClusterLoadAssignment.decode(bytes ?? new Uint8Array()).endpoints.flatMap(({ lbEndpoints }) => lbEndpoints);
	assert.deepEqual(
		found.map(({ endpoint }) => endpoint?.address?.socketAddress?.address ?? endpoint?.address?.pipe?.path),
		["192.0.2.1", "/run/x"],
	);
});

test("the mesh's patterns name clusters in statistics", () => {
	const patterns = { outboundClusterStatName: "%SERVICE%_%SERVICE_PORT_NAME%_%SUBSET_NAME%_%ODD%", inboundClusterStatName: "in_%SERVICE_FQDN%_%TARGET_PORT%" };
	const { push } = contextOf(createTestMesh(patterns).apply(web));
	const { resources } = translate(push, { ...contextOf(push).node, name: "web-1" }).cds;
	const statName = (key: string) => Cluster.decode(resources.get(key)?.bytes ?? new Uint8Array()).altStatName;
	assert.equal(statName(name), "web.default_http__%ODD%;");
	assert.equal(statName("inbound|8080||"), "in_web.default.svc.cluster.local_8080;");
	assert.equal(statName("PassthroughCluster"), "PassthroughCluster;");
});

test("inboundTrafficPolicy LOCALHOST sends to the loopback address", () => {
	const { push } = contextOf(createTestMesh({ inboundTrafficPolicy: { mode: "LOCALHOST" } }).apply(web));
	const bytes = translate(push, { ...contextOf(push).node, name: "web-1" }).cds.resources.get("inbound|8080||")?.bytes;
	const cluster = Cluster.decode(bytes ?? new Uint8Array());
	assert.equal(cluster.type, Cluster_DiscoveryType.STATIC);
	assert.deepEqual(cluster.loadAssignment?.endpoints[0]?.lbEndpoints[0]?.endpoint?.address?.socketAddress?.address, "127.0.0.1");
});

test("a workload's ports are known from its pod's labels even before it is ready", () => {
	const unready = web.replace("endpoints: [{addresses: [10.1.0.1],", "endpoints: [{addresses: [10.1.0.1], conditions: {ready: false},");
	const { push } = contextOf(createTestMesh().apply(unready));
	const node = { ...contextOf(push, { INSTANCE_IPS: "10.1.0.1" }).node, name: "web-1" };
	const names = [...translate(push, node).cds.resources.keys()].filter((key) => key.startsWith("inbound"));
	assert.deepEqual(names, ["inbound|8080||", "inbound|9090||"]);
});

test("a workload without a pod is known by the addresses of endpoints that name no pod", () => {
	const entry =
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: [vm.example.org], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8000}], endpoints: [{address: 10.0.0.9}]}\n";
	assert.ok(clusters(entry).has("inbound|8000||"));
});

test("a gateway has no inbound and no passthrough clusters", () => {
	const { push, node } = contextOf(createTestMesh().apply(web));
	const names = [...translate(push, { ...node, kind: "router", name: "web-1" }).cds.resources.keys()];
	assert.deepEqual(names, ["BlackHoleCluster", name, "outbound|90||web.default.svc.cluster.local"]);
});

test("Weft's annotations on a DestinationRule: ejection by a rate, and a balancer that a stock Envoy knows nothing of", () => {
	const annotated = (annotations: string, policy: string) => rule(policy).replace("namespace: default}", `namespace: default, annotations: {${annotations}}}`);
	const rate = `weft.dev/outlier-failure-percentage: "percent=40, requests=20, window=5s"`;
	const alone = clusters(`${web}${annotated(rate, "{loadBalancer: {simple: RANDOM}}")}`).get(name);
	const { outlierDetection: outlier } = alone ?? {};
	assert.deepEqual(
		[outlier?.failurePercentageThreshold, outlier?.failurePercentageRequestVolume, outlier?.failurePercentageMinimumHosts, outlier?.enforcingFailurePercentage],
		[40, 20, 1, 100],
	);
	assert.deepEqual([outlier?.interval?.seconds, outlier?.enforcingConsecutive5xx, outlier?.maxEjectionPercent], [5n, 0, 100]);
	assert.equal(alone?.commonLbConfig?.healthyPanicThreshold?.value, 0);
	const both = clusters(`${web}${annotated(rate, "{outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 30}}")}`).get(name)?.outlierDetection;
	assert.deepEqual([both?.consecutive5xx, both?.maxEjectionPercent, both?.failurePercentageThreshold, both?.interval?.seconds], [3, 30, 40, 5n]);
	const balanced = clusters(`${web}${annotated("weft.dev/load-balancer: peak-ewma", "{loadBalancer: {simple: RANDOM}}")}`).get(name);
	assert.deepEqual(balanced?.metadata?.filterMetadata["weft.dev"], { load_balancer: "peak-ewma", requests: 9 });
	assert.equal(balanced?.lbPolicy, Cluster_LbPolicy.LEAST_REQUEST);
});
