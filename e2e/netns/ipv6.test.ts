import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { echoOf, header, NetnsMesh, type MeshPod, peerAuthentication } from "./mesh.ts";
import { whySkipped } from "./network.ts";

const vip = "fd96::10";

for (const mode of ["REDIRECT", "TPROXY"] as const) {
	describe(`${mode} of pods that have IPv6 alone`, { skip: whySkipped() ?? false, timeout: 400_000 }, () => {
		let mesh: NetnsMesh;
		let client: MeshPod;
		let server: MeshPod;
		let unmeshed: MeshPod;

		before(async () => {
			mesh = new NetnsMesh(mode === "REDIRECT" ? "s" : "u");
			client = mesh.addPod({ name: "client", capture: { mode }, ipFamily: 6 });
			server = mesh.addPod({ name: "server", capture: { mode }, ipFamily: 6 });
			unmeshed = mesh.addPod({ name: "unmeshed", ipFamily: 6 });
			mesh.addService({ name: "server", clusterIp: vip, pods: ["server"], ports: [{ name: "http", port: 80, targetPort: 8080 }] });
			mesh.addService({ name: "echo", clusterIp: "fd96::11", pods: ["server"], ports: [{ name: "tcp", port: 9000, targetPort: 9000 }] });
			await mesh.startControlPlane();
			for (const port of [8080, 8081]) mesh.startApp(server.host, `server-${port}`, "http-echo", [], { PORT: String(port), HOSTNAME: "server", HOST: "::" });
			mesh.startApp(server.host, "server-tcp", "tcp-echo", ["9000", "hello"], { HOST: "::" });
			for (const pod of [client, server]) mesh.startProxy(pod);
			await mesh.ready(client);
			await mesh.ready(server);
			await mesh.eventually(
				"the service answers",
				() => mesh.curl(client.host, `http://[${vip}]/`),
				({ status }) => status === 200,
			);
		});

		after(() => mesh?.close());

		it("mutual TLS, TCP, plain text, a port that nobody declares", () => {
			const expected = (ip: string) => (mode === "TPROXY" ? ip : "::6");
			const meshed = echoOf(mesh.curl(client.host, `http://[${vip}]/`));
			assert.match(header(meshed, "x-forwarded-client-cert") ?? "", /sa\/client/);
			assert.equal(meshed.remoteAddress, expected(client.ip));
			assert.equal(mesh.exchange(client.host, "fd96::11", 9000, "there\n"), "hello there\n");
			assert.equal(echoOf(mesh.curl(unmeshed.host, `http://[${server.ip}]:8080/`)).remoteAddress, expected(unmeshed.ip));
			assert.equal(echoOf(mesh.curl(unmeshed.host, `http://[${server.ip}]:8081/`)).remoteAddress, expected(unmeshed.ip));
		});

		it("STRICT holds", async () => {
			mesh.apply("peer-authentication", peerAuthentication("STRICT"));
			await mesh.eventually(
				"plain text is refused",
				() => mesh.curl(unmeshed.host, `http://[${server.ip}]:8080/`),
				({ status }) => status === 0,
			);
			assert.equal(mesh.curl(client.host, `http://[${vip}]/`).status, 200);
		});
	});
}
