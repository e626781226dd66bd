import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { resourceOf } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { type AdsStream, openAds, startOver, startTestApi, service, rootsOf, type TestControlPlane, token } from "./test-control-plane.ts";

// Files (--configDir), the cluster, and workloads that register themselves, all at once.
let folder: string;
let api: FakeApiServer;
let plane: TestControlPlane;
let client: AdsStream;

const entryOf = (host: string, timeout: string) => ({
	metadata: { name: host.split(".")[0] ?? "", namespace: "default" },
	spec: { host, trafficPolicy: { connectionPool: { tcp: { connectTimeout: timeout } } } },
});
const rule = (timeout: string) => entryOf("web.default.svc.cluster.local", timeout);

function putFile(text: string): void {
	writeFileSync(join(folder, "new"), text);
	renameSync(join(folder, "new"), join(folder, "config", "rule.yaml"));
}

before(async () => {
	folder = mkdtempSync(join(tmpdir(), "weft-sources-"));
	mkdirSync(join(folder, "config"));
	api = await startTestApi();
	api.put(resourceOf("Service"), service("web"));
	api.put(resourceOf("DestinationRule"), rule("3s"));
	const started = await startOver(api.client, {}, undefined, { configDir: join(folder, "config") });
	plane = { ...started, rootsPem: () => rootsOf(api, "default") ?? "" };
	await until("roots are handed out", () => plane.rootsPem() !== "");
	client = openAds(plane, { token: token({ ns: "default", sa: "web", pod: "web-1" }), namespace: "default", serviceAccount: "web" });
});

after(async () => {
	client.close();
	await plane.stop();
	api.close();
	rmSync(folder, { recursive: true, force: true });
});

const timeout = () =>
	Number(
		(client.responses.at(-1)?.resources ?? [])
			.map(({ value }) => Cluster.decode(value))
			.find(({ name }) => name === "outbound|80||web.default.svc.cluster.local")?.connectTimeout?.seconds,
	);
const diagnostics = async () => {
	const all = (await (await fetch(`http://${plane.httpAddress}/debug/diagnostics`)).json()) as readonly { readonly code: string; readonly message: string }[];
	return all.filter(({ code }) => code === "WEFT-V007").map(({ message }) => message);
};

test("the cluster's objects are in force where no file says otherwise; a file's of the same name come first, with a warning, until it goes", async () => {
	await until("the cluster's is in force", () => timeout() === 3);
	assert.deepEqual(await diagnostics(), []);
	const { metadata, spec } = rule("7s");
	putFile(JSON.stringify({ apiVersion: "networking.istio.io/v1", kind: "DestinationRule", metadata, spec }));
	await until("the file's is in force", () => timeout() === 7);
	const [message] = await diagnostics();
	assert.match(message ?? "", /^defined by files and kubernetes; the one of files \(.*rule\.yaml:1\) is in force; remove the other$/);
	assert.ok(plane.log.some((line) => line.includes("object is not in force") && line.includes("DestinationRule default/web")));
	api.put(resourceOf("DestinationRule"), rule("4s"));
	api.put(resourceOf("Service"), service("later"));
	await until("a later change of the cluster is there", () =>
		(client.responses.at(-1)?.resources ?? []).some(({ value }) => Cluster.decode(value).name.includes("||later.")),
	);
	assert.equal(timeout(), 7);
	rmSync(join(folder, "config", "rule.yaml"));
	await until("the cluster's is in force again", () => timeout() === 4);
	assert.deepEqual(await diagnostics(), []);
});
