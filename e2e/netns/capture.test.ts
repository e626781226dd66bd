import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { echoOf, header, NetnsMesh, type MeshPod, peerAuthentication } from "./mesh.ts";
import { type Host, whySkipped } from "./network.ts";

const vip = "10.96.0.10";
const tcpVip = "10.96.0.11";
const identity = (account: string) => new RegExp(`URI=spiffe://cluster\\.local/ns/default/sa/${account}`);

describe("iptables REDIRECT in network namespaces", { skip: whySkipped() ?? false, timeout: 400_000 }, () => {
	let mesh: NetnsMesh;
	let client: MeshPod;
	let server: MeshPod;
	let unmeshed: MeshPod;
	let outside: Host;

	before(async () => {
		mesh = new NetnsMesh("c");
		client = mesh.addPod({ name: "client", capture: { excludeOutboundPorts: [9999] } });
		server = mesh.addPod({ name: "server", capture: { excludeInboundPorts: [8082] } });
		unmeshed = mesh.addPod({ name: "unmeshed" });
		outside = mesh.network.addPod();
		mesh.addService({ name: "server", clusterIp: vip, pods: ["server"], ports: [{ name: "http", port: 80, targetPort: 8080 }] });
		mesh.addService({ name: "echo", clusterIp: tcpVip, pods: ["server"], ports: [{ name: "tcp", port: 9000, targetPort: 9000 }] });
		mesh.apply("peer-authentication", peerAuthentication("PERMISSIVE"));
		await mesh.startControlPlane();
		for (const port of [8080, 8081, 8082]) mesh.startApp(server.host, `server-${port}`, "http-echo", [], { PORT: String(port), HOSTNAME: "server" });
		mesh.startApp(server.host, "server-tcp", "tcp-echo", ["9000", "hello"], {});
		for (const port of [80, 8080, 9999]) mesh.startApp(outside, `outside-${port}`, "http-echo", [], { PORT: String(port), HOSTNAME: "outside" });
		for (const pod of [client, server]) mesh.startProxy(pod);
		await mesh.ready(client);
		await mesh.ready(server);
		await mesh.eventually(
			"the service answers",
			() => mesh.curl(client.host, `http://${vip}/`),
			({ status }) => status === 200,
		);
	});

	after(() => mesh?.close());

	it("an application reaches a service by its virtual address, over mutual TLS", () => {
		const answer = mesh.curl(client.host, `http://${vip}/hello`);
		assert.equal(answer.status, 200);
		const echo = echoOf(answer);
		assert.equal(echo.instance, "server");
		assert.match(header(echo, "x-forwarded-client-cert") ?? "", identity("client"));
		assert.equal(echo.remoteAddress, "127.0.0.6", "the proxy comes from the address that is never captured");
	});

	it("a pod's own address is captured as well", () => {
		const answer = mesh.curl(client.host, `http://${server.ip}:8080/`);
		assert.equal(answer.status, 200);
		assert.equal(echoOf(answer).remoteAddress, "127.0.0.6");
	});

	it("an application that calls itself by its service passes both halves of its own proxy", () => {
		const answer = mesh.curl(server.host, `http://${vip}/self`);
		assert.equal(answer.status, 200);
		assert.match(header(echoOf(answer), "x-forwarded-client-cert") ?? "", identity("server"));
	});

	it("TCP passes by virtual address", () => {
		assert.equal(mesh.exchange(client.host, tcpVip, 9000, "there\n"), "hello there\n");
	});

	it("PERMISSIVE takes an unmeshed client in plain text", () => {
		const answer = mesh.curl(unmeshed.host, `http://${server.ip}:8080/`);
		assert.equal(answer.status, 200);
		assert.equal(header(echoOf(answer), "x-forwarded-client-cert"), undefined);
		assert.equal(mesh.exchange(unmeshed.host, server.ip, 9000, "there\n"), "hello there\n");
	});

	it("a port that no service declares is passed on to the application", () => {
		for (const { host } of [client, unmeshed]) {
			const answer = mesh.curl(host, `http://${server.ip}:8081/`);
			assert.equal(answer.status, 200);
			assert.equal(echoOf(answer).remoteAddress, "127.0.0.6");
		}
	});

	it("an address that nobody knows is passed through, from the pod's own address", () => {
		const before = passthrough();
		const answer = mesh.curl(client.host, `http://${outside.ip}:8080/`);
		assert.equal(answer.status, 200);
		assert.equal(echoOf(answer).remoteAddress, client.ip);
		assert.equal(passthrough(), before + 1);
	});

	it("a port left out of capture does not meet the proxy", () => {
		const before = passthrough();
		assert.equal(mesh.curl(client.host, `http://${outside.ip}:9999/`).status, 200);
		assert.equal(passthrough(), before);
		assert.equal(echoOf(mesh.curl(unmeshed.host, `http://${server.ip}:8082/`)).remoteAddress, unmeshed.ip);
	});

	it("a connection to the proxy's own ports ends there instead of looping", () => {
		for (const port of [15_001, 15_006]) assert.deepEqual(mesh.curl(client.host, `http://127.0.0.1:${port}/`).status, 0);
		assert.equal(mesh.curl(unmeshed.host, `http://${server.ip}:15006/`).status, 0);
		assert.equal(mesh.curl(unmeshed.host, `http://${server.ip}:15001/`).status, 503, "inbound it is a port like any other, whose application hangs up");
	});

	it("UDP, and so DNS, is left alone", async () => {
		const answer = await mesh.exchangeUdp(client.host, mesh.network.node, 53, "who?");
		assert.deepEqual(answer, { text: "who? is asking", seen: client.ip });
	});

	it("REGISTRY_ONLY blocks what nobody knows, and nothing else", async () => {
		mesh.apply("sidecar", {
			apiVersion: "networking.istio.io/v1",
			kind: "Sidecar",
			metadata: { name: "default", namespace: "default" },
			spec: { outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } },
		});
		await mesh.eventually(
			"unknown TCP is closed",
			() => mesh.curl(client.host, `http://${outside.ip}:8080/`),
			({ status }) => status === 0,
		);
		assert.equal(mesh.curl(client.host, `http://${outside.ip}:80/`).status, 502);
		assert.equal(mesh.curl(client.host, `http://${vip}/`).status, 200);
		mesh.remove("sidecar");
		await mesh.eventually(
			"passed again",
			() => mesh.curl(client.host, `http://${outside.ip}:8080/`),
			({ status }) => status === 200,
		);
	});

	it("STRICT refuses whoever brings no certificate, and takes who does", async () => {
		mesh.apply("peer-authentication", peerAuthentication("STRICT"));
		await mesh.eventually(
			"plain text is refused",
			() => mesh.curl(unmeshed.host, `http://${server.ip}:8080/`),
			({ status }) => status === 0,
		);
		assert.equal(mesh.exchange(unmeshed.host, server.ip, 9000, "there\n"), "");
		assert.equal(mesh.curl(unmeshed.host, `http://${server.ip}:8081/`).status, 0, "nor on a port that no service declares");
		assert.equal(mesh.curl(client.host, `http://${server.ip}:8080/`, [], { user: 1337 }).status, 0, "nor past the client's own proxy");
		assert.equal(mesh.curl(client.host, `http://${vip}/`).status, 200);
		assert.equal(mesh.exchange(client.host, tcpVip, 9000, "there\n"), "hello there\n");
		assert.equal(mesh.curl(unmeshed.host, `http://${server.ip}:8082/`).status, 200, "an excluded port is the application's own");
	});

	/** Connections that the client's proxy passed through. */
	function passthrough(): number {
		const { body } = mesh.curl(client.host, "http://127.0.0.1:15000/stats?filter=PassthroughCluster.*upstream_cx_total");
		return Number(/^cluster\.PassthroughCluster;?\.upstream_cx_total: (\d+)$/m.exec(body)?.[1]);
	}
});
