import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { typeUrls } from "@weft/xds";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { type AdsClient, connectAds, type RunningWeft, runWeft, sidecarNode, startWeft } from "@weft/testkit";

// `weft control-plane` as a user starts it, over a directory that is edited, with a client of the wire.
let folder: string;
let files: string;
let weft: RunningWeft;
let http: string;
let xds: string;
const clients: AdsClient[] = [];

const service = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.5, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.0.0.9], conditions: {ready: true}}]
`;

const route = (prefix: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{match: [{uri: {prefix: ${prefix}}}], route: [{destination: {host: web}}]}]}
`;

function put(name: string, text: string): void {
	writeFileSync(join(folder, "new"), text);
	renameSync(join(folder, "new"), join(files, name));
}

before(async () => {
	folder = mkdtempSync(join(tmpdir(), "weft-control-plane-"));
	files = join(folder, "files");
	weft = startWeft(["control-plane", "--files", files, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
	const [, ready] = await weft.logged(/control plane ready\t(.*)/);
	http = /http=(\S+)/.exec(ready ?? "")?.[1] ?? "";
	xds = /plaintextXds=(\S+)/.exec(ready ?? "")?.[1] ?? "";
	put("service.yaml", service);
});

after(async () => {
	for (const client of clients) client.close();
	await weft?.stop();
	rmSync(folder, { recursive: true, force: true });
});

function connect(): AdsClient {
	const client = connectAds(xds, sidecarNode("client", "default"));
	clients.push(client);
	client.subscribe("cds");
	client.subscribe("lds");
	client.subscribe("rds", ["80"]);
	return client;
}

function prefixes(client: AdsClient): readonly string[] {
	const bytes = client.resources.get("rds")?.get("80");
	if (!bytes) return [];
	const host = RouteConfiguration.decode(bytes).virtualHosts.find((v) => v.name === "web.default.svc.cluster.local:80");
	return (host?.routes ?? []).map((r) => r.match?.prefix ?? "");
}

test("it is ready, tells its version, and serves what the directory says", async () => {
	assert.equal((await fetch(`http://${http}/ready`)).status, 200);
	assert.match(await (await fetch(`http://${http}/version`)).text(), /^1\.\d+\.\d+-/);
	const client = connect();
	await client.until((r) => (r.get("cds")?.has("outbound|80||web.default.svc.cluster.local") ?? false) && prefixes(client).length === 1);
	await client.until((r) => (r.get("eds")?.size ?? 0) === 1);
});

test("an edit reaches a connected client; a broken one changes nothing and is reported", async () => {
	const client = connect();
	put("route.yaml", route("/one"));
	await client.until(() => prefixes(client).includes("/one"));
	put("route.yaml", route("/two").replace("hosts", "hosst"));
	put("other.yaml", route("/other").replace("name: web}", "name: other}").replace("hosts: [web]", "hosts: [other]"));
	await client.until((r) => RouteConfiguration.decode(r.get("rds")?.get("80") ?? new Uint8Array()).virtualHosts.some((v) => v.name.startsWith("other")));
	assert.deepEqual(prefixes(client), ["/one"], "the last good route stays");
	const all = (await (await fetch(`http://${http}/debug/diagnostics`)).json()) as readonly { message: string; file: string; line: number }[];
	const found = all.find((d) => d.message.includes("hosst"));
	assert.ok(found?.file.endsWith("route.yaml") && found.line > 0, JSON.stringify(all));
	put("route.yaml", route("/three"));
	await client.until(() => prefixes(client).includes("/three"));
});

test("a refusal is kept with its resource, counted, and does not disturb others", async () => {
	const good = connect();
	const bad = connect();
	await bad.until(() => prefixes(bad).length > 0);
	bad.refuse("rds", "no such filter");
	put("route.yaml", route("/four"));
	await good.until(() => prefixes(good).includes("/four"));
	type Row = { resources: Record<string, { lastError?: string }> };
	let errors: readonly string[] = [];
	for (let i = 0; i < 100 && errors.length === 0; i++) {
		const rows = (await (await fetch(`http://${http}/debug/syncz`)).json()) as readonly Row[];
		errors = rows.flatMap(({ resources }) => resources[typeUrls.rds]?.lastError ?? []);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
	assert.deepEqual(errors, ["no such filter"]);
	const metrics = await (await fetch(`http://${http}/metrics`)).text();
	assert.match(metrics, /pilot_total_xds_rejects 1/);
	assert.match(metrics, /weft_resource_builds_total\{type="rds"\} [1-9]/);
	assert.match(metrics, /weft_resource_encodes_total\{type="cds"\} [1-9]/);
});

test("a port in use is refused with its address, exit status 1", async () => {
	const blocker = createServer();
	await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
	const { port } = blocker.address() as { port: number };
	const { status, stderr } = await runWeft(["control-plane", "--files", files, "--http", `127.0.0.1:${port}`]);
	blocker.close();
	assert.equal(status, 1);
	assert.match(stderr, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}`));
});

test("plain-text xDS is refused on anything but loopback", async () => {
	const { status, stderr } = await runWeft(["control-plane", "--files", files, "--grpc", "0.0.0.0:0", "--http", "127.0.0.1:0"]);
	assert.equal(status, 1);
	assert.match(stderr, /plain-text xDS is served on loopback only/);
});

test("weft xds prints the same resources offline", async () => {
	const { status, stdout, stderr } = await runWeft(["xds", "-f", files, "--node", nodeFile(), "--type", "cds,rds"]);
	assert.equal(status, 0, stderr);
	const { cds, rds } = JSON.parse(stdout) as { cds: { name: string }[]; rds: { name: string }[] };
	assert.ok(cds.some((c) => c.name === "outbound|80||web.default.svc.cluster.local"));
	assert.deepEqual(
		rds.map((r) => r.name),
		["80"],
	);
});

function nodeFile(): string {
	const file = join(folder, "node.json");
	writeFileSync(file, JSON.stringify(sidecarNode("client", "default")));
	return file;
}
