import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createLogger, systemClock } from "@weft/runtime";
import { createKubeClient } from "./client.ts";
import { KubeError } from "./errors.ts";
import { runLeaderElection } from "./lease.ts";
import { forwardPort } from "./port-forward.ts";
import { type KubeObject, resourceOf, resources } from "./resource.ts";
import { watchResource } from "./resource-watch.ts";
import { connectTestCluster, noTestCluster, type TestCluster, until } from "./testing/index.ts";
import { reviewToken } from "./token-review.ts";
import { createKubeTransport } from "./transport.ts";

const logger = createLogger({ level: "none" });

describe("a real API server", { skip: noTestCluster }, () => {
	let cluster: TestCluster;
	let stop: AbortController;

	before(async () => {
		cluster = await connectTestCluster("weft-kube");
		stop = new AbortController();
	});

	after(async () => {
		stop.abort();
		await cluster.close();
	});

	const put = (name: string) => cluster.client.create(resources.configMaps, cluster.namespace, { metadata: { name }, data: {} });
	const drop = (name: string) => cluster.client.remove(resources.configMaps, cluster.namespace, name);

	test("watches outlive an outage and a silence of the network, and lose nothing", { timeout: 90_000 }, async () => {
		const client = createKubeClient(createKubeTransport(cluster.proxied));
		const seen = new Map<string, KubeObject>();
		let lists = 0;
		watchResource(client, resources.configMaps, {
			namespace: cluster.namespace,
			signal: stop.signal,
			clock: systemClock,
			logger,
			onList(objects) {
				lists++;
				seen.clear();
				for (const object of objects) seen.set(object.metadata.name, object);
			},
			onEvents(events) {
				for (const { type, object } of events) {
					if (type === "delete") seen.delete(object.metadata.name);
					else seen.set(object.metadata.name, object);
				}
			},
		});
		await until("the list is read", () => lists === 1);
		await put("one");
		await put("two");
		await until("both are seen", () => seen.has("one") && seen.has("two"));

		cluster.proxy.set("refuse");
		await drop("one");
		await put("three");
		await systemClock.sleep(1_500);
		assert.ok(seen.has("one"), "what was read stays in force");
		cluster.proxy.set("pass");
		await until("the gap is bridged", () => !seen.has("one") && seen.has("three"));

		const frozenMs = systemClock.monotonicMs();
		cluster.proxy.set("freeze");
		await drop("two");
		await until("the silence is found out", () => !seen.has("two"), 45_000);
		assert.ok(systemClock.monotonicMs() - frozenMs <= 45_000);
		assert.equal(lists, 1, "resource versions bridge both");
		client.transport.close();
	});

	test("a version that etcd has forgotten costs one LIST", async () => {
		let lists = 0;
		const states: string[] = [];
		let isOld = true;
		// The first watch asks from a version that no server has any more.
		const { transport } = cluster.client;
		const open = (request: Parameters<typeof transport.open>[0]) => {
			const query = isOld ? { ...request.query, resourceVersion: "1" } : request.query;
			isOld = false;
			return transport.open({ ...request, ...(query && { query }) });
		};
		const stopThis = new AbortController();
		watchResource({ ...cluster.client, transport: { ...transport, open } }, resourceOf("Namespace"), {
			signal: stopThis.signal,
			clock: systemClock,
			logger,
			onList: () => lists++,
			onEvents: () => undefined,
			onState: (state) => states.push(state),
		});
		await until("it has watched from 1, or the server keeps everything", () => !isOld);
		await systemClock.sleep(2_000);
		assert.ok(lists <= 2, `${lists} lists`);
		assert.equal(states.at(-1), "synced");
		stopThis.abort();
	});

	test("tokens are judged by audience and pod", async () => {
		const pod = await cluster.createPod("web-1", "web");
		const good = await reviewToken(cluster.client, await cluster.token("web", "istio-ca", pod), ["istio-ca"]);
		assert.ok(good.authenticated);
		assert.equal(good.username, `system:serviceaccount:${cluster.namespace}:web`);
		assert.deepEqual(good.extra["authentication.kubernetes.io/pod-name"], ["web-1"]);
		assert.equal(good.extra["authentication.kubernetes.io/pod-uid"]?.[0], pod.metadata.uid);
		const other = await reviewToken(cluster.client, await cluster.token("web", "vault", pod), ["istio-ca"]);
		assert.equal(other.authenticated, false);
		const bound = await cluster.token("web", "istio-ca", pod);
		const forged = await reviewToken(cluster.client, `${bound.slice(0, -8)}AAAAAAAA`, ["istio-ca"]);
		assert.equal(forged.authenticated, false);
		await cluster.client.transport.request({
			method: "DELETE",
			path: `/api/v1/namespaces/${cluster.namespace}/pods/web-1`,
			query: { gracePeriodSeconds: "0" },
		});
		await until("the token dies with its pod", async () => !(await reviewToken(cluster.client, bound, ["istio-ca"])).authenticated);
	});

	test("server-side apply creates, mends, and is idempotent", async () => {
		const object = { metadata: { name: "applied", namespace: cluster.namespace }, data: { a: "1" } };
		const options = { fieldManager: "weft-test", force: true };
		const first = await cluster.client.apply(resources.configMaps, cluster.namespace, object, options);
		const second = await cluster.client.apply(resources.configMaps, cluster.namespace, object, options);
		assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
		await cluster.client.patch(resources.configMaps, cluster.namespace, "applied", "merge", { data: { a: "2", b: "3" } });
		const mended = await cluster.client.apply(resources.configMaps, cluster.namespace, object, options);
		assert.deepEqual(mended["data"], { a: "1", b: "3" }, "the fields of others stay");
	});

	test("refusals carry status, reason and message", async () => {
		await put("twice");
		await assert.rejects(
			put("twice"),
			(error: unknown) => error instanceof KubeError && error.status === 409 && error.reason === "AlreadyExists" && /twice/.test(error.message),
		);
		assert.equal(await cluster.client.get(resources.configMaps, cluster.namespace, "none"), undefined);
		assert.equal(await cluster.client.mayAccess({ user: "nobody", groups: [], verb: "get", resource: resources.secrets, namespace: "kube-system" }), false);
		assert.equal(
			await cluster.client.mayAccess({ user: "root", groups: ["system:masters"], verb: "get", resource: resources.secrets, namespace: "kube-system" }),
			true,
		);
		assert.match(await cluster.client.serverVersion(), /^v1\.\d+/);
	});

	test("a port of a running pod is reached from here", async (context) => {
		const { items } = await cluster.client.list(resourceOf("Pod"), { namespace: "kube-system", labelSelector: "k8s-app=kube-dns" });
		const name = items.find((pod) => (pod["status"] as { readonly phase?: string }).phase === "Running")?.metadata.name;
		if (name === undefined) return context.skip("the cluster has no CoreDNS");
		const errors: string[] = [];
		const port = await forwardPort({
			kubeconfig: process.env["WEFT_TEST_KUBECONFIG"] ?? "",
			namespace: "kube-system",
			pod: name,
			port: 9153,
			signal: stop.signal,
			onError: (error) => errors.push(error.message),
		});
		for (let i = 0; i < 3; i++) assert.match(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), /^coredns_build_info/m);
		assert.equal(errors.length, 0, errors.join());
		const nowhere = await forwardPort({
			kubeconfig: process.env["WEFT_TEST_KUBECONFIG"] ?? "",
			namespace: "kube-system",
			pod: "no-such-pod",
			port: 80,
			signal: stop.signal,
			onError: (error) => errors.push(error.message),
		});
		await assert.rejects(fetch(`http://127.0.0.1:${nowhere}/`));
		assert.match(errors[0] ?? "", /port-forward to kube-system\/no-such-pod:80: /);
	});

	test("one of two candidates leads by a Lease, and hands over", async () => {
		const leading = new Set<string>();
		const candidates = ["a", "b"].map((identity) => {
			const own = new AbortController();
			const done = runLeaderElection({
				client: cluster.client,
				namespace: cluster.namespace,
				name: "election",
				identity,
				clock: systemClock,
				logger,
				retryMs: 200,
				signal: own.signal,
				lead: (signal) =>
					new Promise((resolve) => {
						leading.add(identity);
						signal.addEventListener("abort", () => {
							leading.delete(identity);
							resolve();
						});
					}),
			});
			return { identity, own, done };
		});
		await until("one leads", () => leading.size === 1);
		const first = candidates.find(({ identity }) => leading.has(identity));
		first?.own.abort();
		await first?.done;
		await until("the other leads", () => leading.size === 1 && !leading.has(first?.identity ?? ""));
		for (const { own, done } of candidates) {
			own.abort();
			await done;
		}
	});
});
