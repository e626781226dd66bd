import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { NetnsMesh, type MeshPod, peerAuthentication } from "./mesh.ts";
import { whySkipped } from "./network.ts";

const probers = {
	"/app-health/app/livez": { httpGet: { path: "/live", port: 8080, scheme: "HTTP" }, timeoutSeconds: 1 },
	"/app-health/app/readyz": { tcpSocket: { port: 9000 }, timeoutSeconds: 1 },
	"/app-health/app/startupz": { tcpSocket: { port: 9999 }, timeoutSeconds: 1 },
};

/** What a kubelet, Prometheus and the hooks of an injected pod do, under STRICT mutual TLS. */
describe("a pod's proxy as Kubernetes sees it", { skip: whySkipped() ?? false, timeout: 400_000 }, () => {
	let mesh: NetnsMesh;
	let server: MeshPod;
	let client: MeshPod;

	before(async () => {
		mesh = new NetnsMesh("k");
		client = mesh.addPod({ name: "client", capture: {} });
		server = mesh.addPod({
			name: "server",
			capture: {},
			env: {
				ISTIO_KUBE_APP_PROBERS: JSON.stringify(probers),
				ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", path: "/metrics", port: "8080" }),
				PROXY_CONFIG: JSON.stringify({ discoveryAddress: `${mesh.network.node.ip}:15012`, terminationDrainDuration: "3s" }),
			},
		});
		mesh.addService({ name: "server", clusterIp: "10.96.0.10", pods: ["server"], ports: [{ name: "http", port: 80, targetPort: 8080 }] });
		mesh.apply("peer-authentication", peerAuthentication("STRICT"));
		mesh.startApp(server.host, "server", "http-echo", [], { PORT: "8080", HOSTNAME: "server" });
		mesh.startApp(server.host, "server-tcp", "tcp-echo", ["9000"], {});
	});

	after(() => mesh?.close());

	it("is not ready before it has its configuration, and says so", async () => {
		await mesh.startControlPlane();
		mesh.startProxy(server);
		const states = new Set<number>();
		await mesh.eventually(
			"ready",
			() => kubelet(15_020, "/healthz/ready"),
			({ status }) => {
				states.add(status);
				return status === 200;
			},
		);
		assert.ok(states.has(503), `seen before it was ready: ${[...states].join(", ")}`);
		assert.equal(kubelet(15_021, "/healthz/ready").status, 200);
		mesh.startProxy(client);
		await mesh.ready(client);
	});

	it("weft-proxy wait ends once the proxy is ready, and fails where there is none", () => {
		assert.equal(runProxy("wait", "--timeoutSeconds", "5").status, 0);
		const none = runProxy("wait", "--timeoutSeconds", "1", "--periodMillis", "100", "--url", "http://127.0.0.1:1/healthz/ready");
		assert.equal(none.status, 1);
		assert.match(none.stderr, /timeout waiting for the proxy/);
	});

	it("passes the kubelet's probes on to the application", () => {
		const live = kubelet(15_020, "/app-health/app/livez", "-H", "x-probe: yes");
		assert.equal(live.status, 200);
		const seen = JSON.parse(live.body) as { readonly target: string; readonly remoteAddress: string; readonly headers: readonly (readonly [string, string])[] };
		assert.equal(seen.target, "/live");
		assert.equal(seen.remoteAddress, "127.0.0.6");
		const headers = new Map(seen.headers.map(([name, value]) => [name.toLowerCase(), value]));
		assert.equal(headers.get("x-probe"), "yes");
		assert.equal(headers.get("host"), `${server.ip}:8080`);
		assert.equal(kubelet(15_020, "/app-health/app/readyz").status, 200);
		assert.equal(kubelet(15_020, "/app-health/app/startupz").status, 500, "nobody listens there");
		assert.equal(kubelet(15_020, "/app-health/other/livez").status, 400);
	});

	it("merges its metrics with the application's", () => {
		assert.equal(mesh.curl(client.host, "http://10.96.0.10/").status, 200);
		const { status, body } = kubelet(15_020, "/stats/prometheus");
		assert.equal(status, 200);
		assert.match(body, /^istio_agent_cert_expiry_seconds\{resource_name="default"\} \d{4,5}/m);
		assert.match(body, /^istio_requests_total\{.*reporter="destination".*source_workload="client".*\} 1$/m);
		// The echo application answers /metrics like any other path: what matters is that its answer is there, last.
		assert.match(body, /"target":"\/metrics".*$/);
		const proxyOnly = kubelet(15_090, "/stats/prometheus");
		assert.equal(proxyOnly.status, 200);
		assert.match(proxyOnly.body, /^istio_requests_total\{/m);
		assert.doesNotMatch(proxyOnly.body, /istio_agent_|"target"/);
	});

	it("leaves drain and quit to the pod itself", () => {
		for (const path of ["/drain", "/quitquitquit", "/debug/ndsz"]) assert.equal(kubelet(15_020, path, "-X", "POST").status, 403);
		assert.equal(mesh.curl(server.host, "http://127.0.0.1:15020/quitquitquit").status, 405);
	});

	it("drains on the hook of a native sidecar, while it goes on answering", async () => {
		const hook = runProxy("request", "--debug-port=15020", "POST", "drain");
		assert.deepEqual([hook.status, hook.stdout], [0, "OK"]);
		assert.equal(mesh.curl(client.host, "http://10.96.0.10/").status, 200);
	});

	it("on SIGTERM it is not ready at once, serves on for the drain duration, then ends", async () => {
		const proxy = mesh.proxyOf(server);
		const ended = once(proxy, "exit");
		proxy.kill("SIGTERM");
		await mesh.eventually(
			"not ready",
			() => kubelet(15_020, "/healthz/ready"),
			({ status }) => status === 503,
		);
		assert.equal(mesh.curl(client.host, "http://10.96.0.10/").status, 200);
		assert.deepEqual(await ended, [0, null]);
	});

	it("quitquitquit ends the proxy, as a Job's last step", async () => {
		const proxy = mesh.proxyOf(client);
		const ended = once(proxy, "exit");
		assert.equal(mesh.curl(client.host, "http://127.0.0.1:15020/quitquitquit", ["-X", "POST"]).status, 200);
		assert.deepEqual(await ended, [0, null]);
	});

	function kubelet(port: number, path: string, ...args: readonly string[]) {
		return mesh.curl(mesh.network.node, `http://${server.ip}:${port}${path}`, args);
	}

	function runProxy(...args: readonly string[]) {
		const [program = "", ...rest] = mesh.proxyCommand;
		return spawnSync("ip", ["netns", "exec", server.host.namespace, program, ...rest, ...args], { encoding: "utf8", timeout: 20_000 });
	}
});
