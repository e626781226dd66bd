import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { echoOf, header, NetnsMesh, type MeshPod, peerAuthentication } from "./mesh.ts";
import { whySkipped } from "./network.ts";

const vip = "10.96.0.10";

describe("iptables TPROXY in network namespaces", { skip: whySkipped() ?? false, timeout: 400_000 }, () => {
	let mesh: NetnsMesh;
	let client: MeshPod;
	let server: MeshPod;
	let unmeshed: MeshPod;

	before(async () => {
		mesh = new NetnsMesh("t");
		client = mesh.addPod({ name: "client", capture: { mode: "TPROXY" } });
		server = mesh.addPod({ name: "server", capture: { mode: "TPROXY" } });
		unmeshed = mesh.addPod({ name: "unmeshed" });
		mesh.addService({ name: "server", clusterIp: vip, pods: ["server"], ports: [{ name: "http", port: 80, targetPort: 8080 }] });
		mesh.addService({ name: "echo", clusterIp: "10.96.0.11", pods: ["server"], ports: [{ name: "tcp", port: 9000, targetPort: 9000 }] });
		await mesh.startControlPlane();
		for (const port of [8080, 8081]) mesh.startApp(server.host, `server-${port}`, "http-echo", [], { PORT: String(port), HOSTNAME: "server" });
		mesh.startApp(server.host, "server-tcp", "tcp-echo", ["9000", "hello"], {});
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

	it("the application sees the client's own address, over mutual TLS and in plain text", () => {
		const meshed = echoOf(mesh.curl(client.host, `http://${vip}/`));
		assert.equal(meshed.remoteAddress, client.ip);
		assert.match(header(meshed, "x-forwarded-client-cert") ?? "", /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/);
		const plain = echoOf(mesh.curl(unmeshed.host, `http://${server.ip}:8080/`));
		assert.equal(plain.remoteAddress, unmeshed.ip);
		assert.equal(header(plain, "x-forwarded-client-cert"), undefined);
	});

	it("connections to the application are not shared between clients", () => {
		for (let i = 0; i < 3; i++) {
			for (const { host, ip } of [client, unmeshed]) assert.equal(echoOf(mesh.curl(host, `http://${server.ip}:8080/`)).remoteAddress, ip);
		}
	});

	it("so it is on a port that no service declares, and for TCP", () => {
		assert.equal(echoOf(mesh.curl(unmeshed.host, `http://${server.ip}:8081/`)).remoteAddress, unmeshed.ip);
		assert.equal(mesh.exchange(client.host, "10.96.0.11", 9000, "there\n"), "hello there\n");
		assert.equal(mesh.exchange(unmeshed.host, server.ip, 9000, "there\n"), "hello there\n");
	});

	it("STRICT holds", async () => {
		mesh.apply("peer-authentication", peerAuthentication("STRICT"));
		await mesh.eventually(
			"plain text is refused",
			() => mesh.curl(unmeshed.host, `http://${server.ip}:8080/`),
			({ status }) => status === 0,
		);
		assert.equal(echoOf(mesh.curl(client.host, `http://${vip}/`)).remoteAddress, client.ip);
	});
});
