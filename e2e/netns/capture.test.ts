import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { NetnsMesh, type MeshPod } from "./mesh.ts";
import { type Host, whySkipped } from "./network.ts";

const skip = whySkipped();

interface Echo {
	readonly instance: string;
	readonly remoteAddress: string;
	readonly headers: readonly (readonly [string, string])[];
}

const echoOf = (body: string) => JSON.parse(body) as Echo;
const header = (echo: Echo, name: string) => echo.headers.find(([key]) => key.toLowerCase() === name)?.[1];
const vip = "10.96.0.10";

describe("iptables capture in network namespaces", { skip: skip ?? false, timeout: 180_000 }, () => {
	let mesh: NetnsMesh;
	let client: MeshPod;
	let server: MeshPod;
	let unmeshed: MeshPod;
	let outside: Host;

	before(async () => {
		mesh = new NetnsMesh("c");
		const { network } = mesh;
		client = mesh.addPod({ name: "client", capture: { excludeOutboundPorts: [9999] } });
		server = mesh.addPod({ name: "server", capture: { excludeInboundPorts: [8082] } });
		unmeshed = mesh.addPod({ name: "unmeshed" });
		outside = network.addPod();
		mesh.addService({ name: "server", clusterIp: vip, pods: ["server"], ports: [{ name: "http", port: 80, targetPort: 8080 }] });
		mesh.addService({ name: "echo", clusterIp: "10.96.0.11", pods: ["server"], ports: [{ name: "tcp", port: 9000, targetPort: 9000 }] });
		mesh.apply("peer-authentication", peerAuthentication("PERMISSIVE"));
		await mesh.startControlPlane();
		for (const port of [8080, 8081, 8082]) mesh.startApp(server.host, `server-${port}`, "http-echo", [], { PORT: String(port), HOSTNAME: "server" });
		mesh.startApp(server.host, "server-tcp", "tcp-echo", ["9000", "hello"], {});
		mesh.startApp(unmeshed.host, "unmeshed", "http-echo", [], { PORT: "8080", HOSTNAME: "unmeshed" });
		mesh.startApp(outside, "outside", "http-echo", [], { PORT: "8080", HOSTNAME: "outside" });
		mesh.startApp(outside, "outside-9999", "http-echo", [], { PORT: "9999", HOSTNAME: "outside" });
		for (const pod of [client, server]) mesh.startProxy(pod);
		await mesh.ready(client);
		await mesh.ready(server);
	});

	after(() => mesh?.close());

	it("an application reaches a service by its virtual address, over mutual TLS", async () => {
		const answer = await mesh.eventually("the service answers", () => mesh.curl(client.host, `http://${vip}/hello`), ({ status }) => status === 200);
		const echo = echoOf(answer.body);
		assert.equal(echo.instance, "server");
		assert.match(header(echo, "x-forwarded-client-cert") ?? "", /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/);
		assert.equal(echo.remoteAddress, "127.0.0.6", "the application's side of the proxy comes from the address that is never captured");
	});

	it("a pod's own address is captured as well", () => {
		const answer = mesh.curl(client.host, `http://${server.ip}:8080/`);
		assert.equal(answer.status, 200);
		assert.equal(echoOf(answer.body).remoteAddress, "127.0.0.6");
	});
});

function peerAuthentication(mode: "STRICT" | "PERMISSIVE"): object {
	return { apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "default", namespace: "default" }, spec: { mtls: { mode } } };
}
