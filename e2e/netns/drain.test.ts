import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { NetnsMesh, type MeshPod, type ServiceSpec } from "./mesh.ts";
import { whySkipped } from "./network.ts";

const vip = "10.96.0.10";

/** Kept-alive connections, one request after another on each, until told to stop; what went wrong is listed. */
const load = `
const http = require("node:http");
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
const seen = {}, errors = [];
let isOver = false, sent = 0;
const one = () => new Promise((done) => {
	sent++;
	const request = http.get({ host: "${vip}", agent, path: "/" }, (response) => {
		let text = "";
		response.on("data", (part) => (text += part));
		response.on("end", () => {
			if (response.statusCode === 200) { const { instance } = JSON.parse(text); seen[instance] = (seen[instance] ?? 0) + 1; }
			else errors.push(response.statusCode + " " + text.slice(0, 200));
			done();
		});
		response.on("error", (error) => { errors.push(error.message); done(); });
	});
	request.on("error", (error) => { errors.push(error.message); done(); });
});
const worker = async () => { while (!isOver) { await one(); await new Promise((next) => setTimeout(next, 20)); } };
process.on("SIGTERM", () => (isOver = true));
Promise.all(Array.from({ length: 8 }, worker)).then(() => { console.log(JSON.stringify({ sent, seen, errors })); process.exit(0); });
`;

describe("a pod that goes while it is under load", { skip: whySkipped() ?? false, timeout: 400_000 }, () => {
	let mesh: NetnsMesh;
	let client: MeshPod;
	let leaving: MeshPod;
	const service = (pods: readonly string[]): ServiceSpec => ({
		name: "server",
		clusterIp: vip,
		pods,
		ports: [{ name: "http", port: 80, targetPort: 8080 }],
	});

	before(async () => {
		mesh = new NetnsMesh("r");
		const PROXY_CONFIG = JSON.stringify({ discoveryAddress: `${mesh.network.node.ip}:15012`, terminationDrainDuration: "3s" });
		client = mesh.addPod({ name: "client", capture: {} });
		leaving = mesh.addPod({ name: "leaving", capture: {}, env: { PROXY_CONFIG } });
		const staying = mesh.addPod({ name: "staying", capture: {}, env: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true", MINIMUM_DRAIN_DURATION: "1s" } });
		mesh.addService(service(["leaving", "staying"]));
		await mesh.startControlPlane();
		for (const pod of [leaving, staying]) mesh.startApp(pod.host, pod.spec.name, "http-echo", [], { PORT: "8080", HOSTNAME: pod.spec.name });
		for (const pod of [client, leaving, staying]) mesh.startProxy(pod);
		for (const pod of [client, leaving, staying]) await mesh.ready(pod);
		await mesh.eventually(
			"the service answers",
			() => mesh.curl(client.host, `http://${vip}/`),
			({ status }) => status === 200,
		);
	});

	after(() => mesh?.close());

	it("no request fails between SIGTERM and the end", async () => {
		const running = client.host.start([process.execPath, "-e", load], { user: 1000, stdio: ["ignore", "pipe", "inherit"] });
		const parts: Buffer[] = [];
		running.stdout?.on("data", (part: Buffer) => parts.push(part));
		await new Promise((resolve) => setTimeout(resolve, 1_000));
		const proxy = mesh.proxyOf(leaving);
		const ended = once(proxy, "exit");
		proxy.kill("SIGTERM");
		// The endpoint goes as it does in a cluster: a moment after the pod has been told.
		await new Promise((resolve) => setTimeout(resolve, 300));
		mesh.addService(service(["staying"]));
		assert.deepEqual(await ended, [0, null]);
		await new Promise((resolve) => setTimeout(resolve, 500));
		const done = once(running, "close");
		running.kill("SIGTERM");
		await done;
		const result = JSON.parse(Buffer.concat(parts).toString("utf8")) as {
			readonly sent: number;
			readonly seen: Readonly<Record<string, number>>;
			readonly errors: readonly string[];
		};
		assert.deepEqual(result.errors, []);
		assert.ok(result.sent > 200, `sent ${result.sent}`);
		assert.ok((result.seen["leaving"] ?? 0) > 20, `the pod that left had a part of the load: ${JSON.stringify(result.seen)}`);
	});

	it("EXIT_ON_ZERO_ACTIVE_CONNECTIONS waits for the last connection, and no longer", async () => {
		const staying = mesh.pods.get("staying");
		assert.ok(staying);
		const proxy = mesh.proxyOf(staying);
		const script = `const s=require("net").connect({host:"${staying.ip}",port:8080},()=>console.log("open"));s.on("close",()=>process.exit(0))`;
		const holder = client.host.start([process.execPath, "-e", script], { user: 1337, stdio: ["ignore", "pipe", "inherit"] });
		await once(holder.stdout as NodeJS.ReadableStream, "data");
		const ended = once(proxy, "exit");
		proxy.kill("SIGTERM");
		const first = await Promise.race([ended, new Promise((resolve) => setTimeout(() => resolve("still there"), 3_000))]);
		assert.equal(first, "still there", "a connection is open");
		holder.kill("SIGKILL");
		assert.deepEqual(await ended, [0, null]);
	});
});
