import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { findGatewayApiCrds, installGatewayApi, removeGatewayApi } from "../gateway-api-crds.ts";
import { apply, eventually, kubectl, kubectlJson } from "../kubectl.ts";
import { clusterMissing, deploy, freshNamespace, installMesh, pods, removeNamespace, rolledOut } from "../mesh.ts";
import { curlFrom } from "../traffic.ts";

const namespace = "e2e-gateway-api";
const outside = "e2e-gateway-api-outside";
const apiVersion = "gateway.networking.k8s.io/v1";

interface Condition {
	readonly type: string;
	readonly status: string;
	readonly message: string;
}
interface GatewayObject {
	readonly metadata: { readonly uid: string };
	readonly status?: {
		readonly addresses?: readonly { readonly value: string }[];
		readonly conditions?: readonly Condition[];
		readonly listeners?: readonly { readonly attachedRoutes: number }[];
		readonly attachedListenerSets?: number;
	};
}
interface Owned {
	readonly metadata: { readonly ownerReferences?: readonly { readonly uid: string }[] };
	readonly spec: { readonly replicas?: number; readonly ports?: readonly { readonly port: number }[]; readonly minAvailable?: number };
}

const listener = (name: string, port: number) => ({ name, port, protocol: "HTTP", allowedRoutes: { namespaces: { from: "Same" } } });

/** No load balancer is here: without one an address would never come. */
function gateway(name: string, listeners: readonly object[], infrastructure: object = {}): object {
	const spec = {
		gatewayClassName: "istio",
		listeners,
		infrastructure: { annotations: { "networking.istio.io/service-type": "ClusterIP" }, ...infrastructure },
	};
	return { apiVersion, kind: "Gateway", metadata: { name }, spec };
}

const route = {
	apiVersion,
	kind: "HTTPRoute",
	metadata: { name: "web" },
	spec: { parentRefs: [{ name: "edge" }], rules: [{ backendRefs: [{ name: "httpbin", port: 8000 }] }] },
};

const crds = clusterMissing === false ? findGatewayApiCrds() : { missing: clusterMissing };
const files = "files" in crds ? crds.files : [];

describe("a Gateway of the Gateway API", { skip: "missing" in crds ? crds.missing : false }, () => {
	before(async () => {
		await installMesh();
		await installGatewayApi(files);
		await freshNamespace(namespace);
		await freshNamespace(outside, { "istio-injection": "disabled" });
		await deploy(namespace, "httpbin/httpbin.yaml");
		await deploy(outside, "sleep/sleep.yaml");
	});
	after(async () => {
		await removeNamespace(namespace);
		await removeNamespace(outside);
		await removeGatewayApi(files);
	});

	const get = <T>(kind: string, name: string) => kubectlJson<T>("get", kind, "-n", namespace, name);
	const conditionOf = async (name: string, type: string) =>
		(await get<GatewayObject>("gateways.gateway.networking.k8s.io", name)).status?.conditions?.find((condition) => condition.type === type);
	const statusOf = async (path: string, port = 80) => (await curlFrom(outside, "deploy/sleep", `http://edge-istio.${namespace}:${port}${path}`)).status;

	test("has a class to name", async () => {
		await eventually("GatewayClass istio", () => kubectl("wait", "--for=condition=Accepted", "gatewayclass/istio", "--timeout=1s"));
	});

	test("is deployed, programmed, and serves its routes", async () => {
		await apply(namespace, [gateway("edge", [listener("http", 80)]), route]);
		await eventually("the Deployment", () => kubectl("get", "deployment", "-n", namespace, "edge-istio"));
		await rolledOut(namespace);
		const [pod] = await pods(namespace, "gateway.networking.k8s.io/gateway-name=edge");
		assert.deepEqual(
			pod?.spec.containers.map(({ name }) => name),
			["istio-proxy"],
		);
		await eventually("Programmed", async () => assert.equal((await conditionOf("edge", "Programmed"))?.status, "True"));
		await eventually("the route is attached", async () => {
			const { status } = await get<GatewayObject>("gateways.gateway.networking.k8s.io", "edge");
			assert.deepEqual(
				status?.listeners?.map(({ attachedRoutes }) => attachedRoutes),
				[1],
			);
			assert.deepEqual(
				status?.addresses?.map(({ value }) => value),
				[`edge-istio.${namespace}.svc.cluster.local`],
			);
		});
		await eventually("an answer", async () => assert.equal(await statusOf("/status/202"), 202));
	});

	test("opens a port that is added, without a restart", async () => {
		const before = (await pods(namespace, "gateway.networking.k8s.io/gateway-name=edge")).map(({ metadata }) => metadata.name);
		await apply(namespace, [gateway("edge", [listener("http", 80), listener("more", 8080)])]);
		await eventually("an answer", async () => assert.equal(await statusOf("/status/202", 8080), 202));
		assert.deepEqual(
			(await pods(namespace, "gateway.networking.k8s.io/gateway-name=edge")).map(({ metadata }) => metadata.name),
			before,
		);
	});

	test("takes the listeners of a ListenerSet, and counts them", async () => {
		const allowedListeners = { namespaces: { from: "Same" } };
		const edge = gateway("edge", [listener("http", 80)]) as { readonly spec: object };
		const set = { apiVersion, kind: "ListenerSet", metadata: { name: "more" }, spec: { parentRef: { name: "edge" }, listeners: [listener("set", 8081)] } };
		const bound = { ...route, metadata: { name: "by-set" }, spec: { ...route.spec, parentRefs: [{ kind: "ListenerSet", name: "more" }] } };
		await apply(namespace, [{ ...edge, spec: { ...edge.spec, allowedListeners } }, set, bound]);
		await eventually("an answer", async () => assert.equal(await statusOf("/status/202", 8081), 202));
		await eventually("its status", async () => {
			const { status } = await get<GatewayObject>("listenersets", "more");
			assert.deepEqual(
				status?.conditions?.map(({ type, status: is }) => [type, is]),
				[
					["Accepted", "True"],
					["Programmed", "True"],
				],
			);
			assert.deepEqual(
				status?.listeners?.map(({ attachedRoutes }) => attachedRoutes),
				[1],
			);
		});
		await eventually("the Gateway's count", async () =>
			assert.equal((await get<GatewayObject>("gateways.gateway.networking.k8s.io", "edge")).status?.attachedListenerSets, 1),
		);
		await kubectl("delete", "listenersets", "-n", namespace, "more");
		await eventually("the port is closed", async () =>
			assert.deepEqual(
				(await get<Owned>("service", "edge-istio")).spec.ports?.map(({ port }) => port),
				[15021, 80],
			),
		);
	});

	test("is deployed as its parameters say", async () => {
		const data = { deployment: "spec: {replicas: 2}", podDisruptionBudget: "spec: {minAvailable: 1}" };
		await apply(namespace, [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "more" }, data }]);
		const infrastructure = { parametersRef: { group: "", kind: "ConfigMap", name: "more" } };
		await apply(namespace, [gateway("edge", [listener("http", 80)], infrastructure)]);
		await eventually("two replicas", async () => assert.equal((await get<Owned>("deployment", "edge-istio")).spec.replicas, 2));
		await eventually("the budget", async () => assert.equal((await get<Owned>("pdb", "edge-istio")).spec.minAvailable, 1));
		await eventually("the port is closed", async () =>
			assert.deepEqual(
				(await get<Owned>("service", "edge-istio")).spec.ports?.map(({ port }) => port),
				[15021, 80],
			),
		);
	});

	test("what is taken away comes back", async () => {
		await kubectl("delete", "service", "-n", namespace, "edge-istio");
		await eventually("the Service", () => kubectl("get", "service", "-n", namespace, "edge-istio"));
		await eventually("an answer", async () => assert.equal(await statusOf("/status/202"), 202));
	});

	test("leaves alone what is not its own", async () => {
		const labels = { app: "mine" };
		const template = {
			metadata: { labels },
			spec: { containers: [{ name: "mine", image: "docker.io/curlimages/curl:8.16.0", command: ["sleep", "infinity"] }] },
		};
		await apply(namespace, [
			{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "mine-istio" }, spec: { selector: { matchLabels: labels }, template } },
		]);
		await apply(namespace, [gateway("mine", [listener("http", 80)])]);
		await eventually("its status", async () => assert.equal((await conditionOf("mine", "Programmed"))?.status, "False"));
		const { metadata } = await get<Owned>("deployment", "mine-istio");
		assert.equal(metadata.ownerReferences, undefined);
		await assert.rejects(kubectl("get", "service", "-n", namespace, "mine-istio"), /NotFound/);
	});

	test("goes with all that was made for it", async () => {
		await kubectl("delete", "gateways.gateway.networking.k8s.io", "-n", namespace, "edge");
		for (const kind of ["deployment", "service", "serviceaccount", "pdb"])
			await eventually(`no ${kind}`, () => assert.rejects(kubectl("get", kind, "-n", namespace, "edge-istio"), /NotFound/));
	});
});
