import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Clock, createLogger, systemClock } from "@weft/runtime";
import { Registry } from "prom-client";
import { buildPush } from "../model/build-push.ts";
import type { GatewayAddresses } from "../model/networks.ts";
import { decodeNode } from "../model/node.ts";
import { translateAll } from "../translator/offline.ts";
import { createTestMesh } from "../translator/routes/test-mesh.ts";
import { createDiscovery } from "./discovery.ts";
import { createGatewayNames, type ResolveGateway } from "./gateway-names.ts";

const gateway = (network: string, status: string, ports = "[{name: tls, port: 15443}]") => `
apiVersion: v1
kind: Service
metadata: {name: gw-${network}, namespace: istio-system, labels: {topology.istio.io/network: ${network}}}
spec: {type: LoadBalancer, selector: {app: gw}, ports: ${ports}}
status: {loadBalancer: {ingress: [${status}]}}
---
`;

const mesh = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: default}
spec: {hosts: [far.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.1, network: here, labels: {security.istio.io/tlsMode: istio}}, {address: 10.0.0.1, network: there, labels: {security.istio.io/tlsMode: istio}}]}
---
`;

function pushOf(yaml: string, gatewayAddresses?: GatewayAddresses, gateways?: readonly { address: string; port: number }[]) {
	const world = createTestMesh();
	world.apply(mesh + yaml);
	const meshNetworks = gateways && { networks: { there: { endpoints: [], gateways: [...gateways] } } };
	return buildPush({
		snapshot: world.store.snapshot(),
		meshConfig: {},
		clusterId: "Kubernetes",
		...(meshNetworks && { meshNetworks }),
		...(gatewayAddresses && { gatewayAddresses }),
	});
}

/** `address:port` of what a client of the network `here` sends far.example.com's requests to. */
function seenFromHere(push: ReturnType<typeof pushOf>): readonly string[] {
	const metadata = { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", LABELS: { "topology.istio.io/network": "here" }, NETWORK: "here" };
	const { eds } = translateAll(push, decodeNode({ id: "sidecar~10.0.0.9~a.default~default.svc.cluster.local", metadata }, push));
	return [...JSON.stringify(eds).matchAll(/"address":"([^"]+)","portValue":(\d+)/g)].map(([, address, port]) => `${address}:${port}`).sort();
}

const none: GatewayAddresses = new Map();
const known: GatewayAddresses = new Map([["gw.example.com", ["192.0.2.1", "192.0.2.2"]]]);

suite("gateways to other networks that are given by name", () => {
	for (const [title, yaml, gateways] of [
		["a load balancer's", gateway("there", "{hostname: gw.example.com}"), undefined],
		["MeshNetworks'", "", [{ address: "gw.example.com", port: 15443 }]],
		[
			"a Gateway's",
			"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: istio-system, labels: {topology.istio.io/network: there}}\nspec: {gatewayClassName: istio, addresses: [{type: Hostname, value: gw.example.com}], listeners: [{name: a, port: 15443, protocol: TLS, tls: {mode: Passthrough}}]}\n",
			undefined,
		],
	] as const) {
		test(`${title} are named, and its endpoints stand behind the addresses that are known`, () => {
			const push = pushOf(yaml, known, gateways);
			assert.deepEqual(push.mesh.networks?.names, ["gw.example.com"]);
			assert.deepEqual(seenFromHere(push), ["10.0.0.1:80", "192.0.2.1:15443", "192.0.2.2:15443"]);
		});
	}

	test("what is behind one that is not known yet is not dialled: here the address is somebody else's", () => {
		assert.deepEqual(seenFromHere(pushOf(gateway("there", "{hostname: gw.example.com}"), none)), ["10.0.0.1:80"]);
	});

	test("where nobody looks them up they are no gateways", () => {
		assert.equal(pushOf(gateway("there", "{hostname: gw.example.com}")).mesh.networks, undefined);
	});

	test("an address counts over the name beside it, and addresses of other gateways stay", () => {
		const push = pushOf(gateway("there", "{ip: 192.0.2.9, hostname: gw.example.com}, {hostname: other.example.com}"), none);
		assert.deepEqual([push.mesh.networks?.names, seenFromHere(push)], [["other.example.com"], ["10.0.0.1:80", "192.0.2.9:15443"]]);
	});

	test("a Service that does not listen on the gateway's port is none", () => {
		assert.equal(pushOf(gateway("there", "{ip: 192.0.2.9}", "[{name: http, port: 80}]"), none).mesh.networks, undefined);
	});
});

const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 5));

type Answer = { readonly addresses: readonly string[]; readonly ttlMs: number | undefined } | "fails";

/** Time stands still until `pass`; each look-up of a name takes its next answer, the last one again and again. */
function createSetup(answers: Readonly<Record<string, readonly Answer[]>>) {
	const left = new Map(Object.entries(answers).map(([name, list]) => [name, [...list]]));
	const sleeps: number[] = [];
	const asked: string[] = [];
	let wake: (() => void)[] = [];
	let changes = 0;
	const clock: Clock = {
		nowMs: () => 0,
		monotonicMs: () => 0,
		sleep: (ms, signal) =>
			new Promise((resolve) => {
				sleeps.push(ms);
				wake.push(resolve);
				signal?.addEventListener("abort", () => resolve(), { once: true });
			}),
	};
	const controller = new AbortController();
	const names = createGatewayNames({
		async resolve(name) {
			asked.push(name);
			const list = left.get(name) ?? [];
			const answer = list.length > 1 ? list.shift() : list[0];
			if (answer === undefined || answer === "fails") throw new Error("no answer");
			return answer;
		},
		clock,
		logger: createLogger({ level: "none" }),
		signal: controller.signal,
		onChange: () => changes++,
		random: () => 0,
	});
	const pass = async () => {
		for (const resolve of wake.splice(0)) resolve();
		await settle();
	};
	return { names, asked, sleeps, pass, controller, changes: () => changes };
}

const named = (...hosts: readonly string[]) => pushOf(gateway("there", hosts.map((hostname) => `{hostname: ${hostname}}`).join()), none);
const answer = (addresses: readonly string[], ttlMs?: number): Answer => ({ addresses, ttlMs });

suite("looking them up", () => {
	test("again when the answer's life is over, within bounds; a change is told of, the same answer is not", async () => {
		const steps = [answer(["192.0.2.2", "192.0.2.1"], 60_000), answer(["192.0.2.1", "192.0.2.2"], 1_000), answer(["192.0.2.3"], 1e9), answer(["192.0.2.3"])];
		const { names, sleeps, pass, changes, controller } = createSetup({ "a.b": steps });
		names.update(named("a.b"));
		await settle();
		assert.deepEqual([names.addresses.get("a.b"), changes()], [["192.0.2.1", "192.0.2.2"], 1]);
		await pass();
		assert.equal(changes(), 1);
		await pass();
		assert.deepEqual([names.addresses.get("a.b"), changes()], [["192.0.2.3"], 2]);
		await pass();
		assert.deepEqual(sleeps, [60_000, 30_000, 3_600_000, 30_000]);
		controller.abort();
	});

	test("keeps the last good addresses while it fails or finds nothing", async () => {
		const { names, pass, changes, controller } = createSetup({
			"a.b": [answer(["192.0.2.1"]), "fails", answer([]), answer(["no address"]), answer(["192.0.2.2"])],
		});
		names.update(named("a.b"));
		await settle();
		for (let i = 0; i < 3; i++) {
			await pass();
			assert.deepEqual([names.addresses.get("a.b"), changes()], [["192.0.2.1"], 1]);
		}
		await pass();
		assert.deepEqual([names.addresses.get("a.b"), changes()], [["192.0.2.2"], 2]);
		controller.abort();
	});

	test("pushes what it found", { timeout: 60_000 }, async () => {
		const world = createTestMesh();
		world.apply(mesh + gateway("there", "{hostname: a.b}"));
		const controller = new AbortController();
		const found = Promise.withResolvers<Awaited<ReturnType<ResolveGateway>>>();
		const discovery = createDiscovery({
			store: world.store,
			meshConfig: () => ({}),
			clusterId: "Kubernetes",
			clock: systemClock,
			logger: createLogger({ level: "none" }),
			registry: new Registry(),
			signal: controller.signal,
			debounceQuietMs: 1,
			resolveGateway: () => found.promise,
		});
		assert.deepEqual(seenFromHere(discovery.push), ["10.0.0.1:80"]);
		found.resolve({ addresses: ["192.0.2.1"], ttlMs: undefined });
		while (seenFromHere(discovery.push).length < 2) await settle();
		assert.deepEqual(seenFromHere(discovery.push), ["10.0.0.1:80", "192.0.2.1:15443"]);
		controller.abort();
	});

	test("ends for what is named no more, and begins for what is new", async () => {
		const { names, asked, pass, controller } = createSetup({ a: [answer(["192.0.2.1"])], b: [answer(["192.0.2.2"])] });
		names.update(named("a"));
		await settle();
		names.update(named("b"));
		await settle();
		assert.deepEqual([...names.addresses], [["b", ["192.0.2.2"]]]);
		await pass();
		assert.deepEqual(asked, ["a", "b", "b"]);
		controller.abort();
		await pass();
		assert.deepEqual(asked, ["a", "b", "b"]);
	});
});
