import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { echoOf, NetnsMesh, type MeshPod } from "./mesh.ts";
import { type Host, whySkipped } from "./network.ts";

describe("a pod that asks for both IP families", { skip: whySkipped() ?? false, timeout: 400_000 }, () => {
	let mesh: NetnsMesh;
	let client: MeshPod;
	let outside: Host;

	before(async () => {
		mesh = new NetnsMesh("b");
		const PROXY_CONFIG = JSON.stringify({ discoveryAddress: `${mesh.network.node.ip}:15012`, proxyMetadata: { ISTIO_DUAL_STACK: "true" } });
		client = mesh.addPod({ name: "client", capture: { dualStack: true }, env: { PROXY_CONFIG } });
		outside = mesh.network.addPod();
		mesh.addService({ name: "server", clusterIp: "10.96.0.10", pods: ["client"], ports: [{ name: "http", port: 80, targetPort: 8080 }] });
		await mesh.startControlPlane();
		mesh.startApp(client.host, "client", "http-echo", [], { PORT: "8080", HOST: "::" });
		mesh.startApp(outside, "outside", "http-echo", [], { PORT: "8080", HOST: "::" });
		mesh.startProxy(client);
		await mesh.ready(client);
	});

	after(() => mesh?.close());

	for (const [family, of] of [
		["IPv4", ({ ip }: Host) => ip],
		["IPv6", ({ ip6 }: Host) => `[${ip6}]`],
	] as const) {
		it(`${family} out and in`, async () => {
			const out = await mesh.eventually(
				"passed through",
				() => mesh.curl(client.host, `http://${of(outside)}:8080/`),
				({ status }) => status === 200,
			);
			assert.ok(echoOf(out).remoteAddress.endsWith(of(client.host).replace(/[[\]]/g, "")), echoOf(out).remoteAddress);
			const into = mesh.curl(outside, `http://${of(client.host)}:8080/`);
			assert.equal(into.status, 200);
			assert.match(echoOf(into).remoteAddress, family === "IPv4" ? /127\.0\.0\.6$/ : /^::6$/);
		});
	}
});
