import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { findEnvoy } from "../../scripts/peers-find.mjs";

// EnvoyFilter's applyTo BOOTSTRAP: our Pilot answers, weft-proxy and an Envoy under our agent start with the answer.

const envoy = process.env["WEFT_ENVOY"] ?? findEnvoy();

const deployment = (name: string, annotations = "") => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata:
      labels: {app: ${name}}
      annotations: {weft.dev/command: "node -e 'net.createServer().listen(process.env.PORT)'"${annotations}}
    spec: {containers: [{name: app, image: nobody/${name}, ports: [{containerPort: 8080}]}]}
---`;

const patch = (name: string, app: string, value: string) => `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ${name}}
spec:
  workloadSelector: {labels: {app: ${app}}}
  configPatches: [{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: ${value}}}]
---`;

const cluster = `{name: of-the-patch, type: STATIC, load_assignment: {cluster_name: of-the-patch, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}}]}]}}`;
const added = `{static_resources: {clusters: [${cluster}]}, stats_config: {stats_tags: [{tag_name: mine, regex: "^cluster\\\\.((of-the)-)"}]}}`;
/** A sound message that neither proxy can start with: there is a cluster of that name already. */
const broken = `{static_resources: {clusters: [${cluster.replaceAll("of-the-patch", "xds-grpc")}]}}`;

interface Proxy {
	readonly proxy: string;
	readonly nacks: readonly { readonly type: string; readonly message: string }[];
}

describe("bootstrap patches", () => {
	let mesh: TestMesh;
	const asked = process.env["BOOTSTRAP_XDS_AGENT"];

	before(async () => {
		process.env["BOOTSTRAP_XDS_AGENT"] = "true";
		const ofEnvoy = envoy === undefined ? "" : [deployment("stock", ", weft.dev/proxy: envoy"), deployment("stock-broken", ", weft.dev/proxy: envoy")].join("");
		const patches = [patch("a", "ours", added), patch("b", "stock", added), patch("c", "ours-broken", broken), patch("d", "stock-broken", broken)];
		mesh = await startTestMesh({
			yaml: [deployment("ours"), deployment("ours-broken"), ofEnvoy, ...patches].join(""),
			...(envoy !== undefined && { envoy }),
		});
	});

	after(async () => {
		if (asked === undefined) delete process.env["BOOTSTRAP_XDS_AGENT"];
		else process.env["BOOTSTRAP_XDS_AGENT"] = asked;
		await mesh?.stop();
		closeConnections();
	});

	const admin = async (workload: string, path: string) => {
		const pod = mesh.pods().find((pod) => pod.workload === workload);
		assert.ok(pod, workload);
		return (await fetch(`http://${pod.adminAddress}${path}`)).text();
	};

	for (const [title, workload, skip] of [
		["weft-proxy", "ours", false],
		["Envoy under the agent", "stock", envoy === undefined ? "no Envoy here: npm run peers" : false],
	] as const) {
		test(`${title} starts with them`, { skip }, async () => {
			assert.match(await admin(workload, "/clusters"), /^of-the-patch::127\.0\.0\.1:9::/m);
			assert.match(await admin(workload, "/config_dump?mask=bootstrap"), /"port_value": 9\b/);
			assert.match(await admin(workload, "/stats/prometheus"), /mine="of-the"/);
			// What it had by itself is there, too.
			assert.match(await admin(workload, "/clusters"), /^xds-grpc::/m);
		});

		test(`${title} starts without one that it cannot take`, { skip }, async () => {
			const dump = await admin(`${workload}-broken`, "/config_dump?mask=bootstrap");
			assert.match(dump, /xds-grpc/);
			assert.doesNotMatch(dump, /"port_value": 9\b/);
			assert.match(await admin(`${workload}-broken`, "/server_info"), /"state": "LIVE"/);
		});
	}

	test("the control plane knows who refused one", async () => {
		const refusals = async () =>
			((await mesh.client.get("proxies")) as readonly Proxy[]).flatMap(({ proxy, nacks }) => nacks.map((nack) => ({ proxy, ...nack })));
		for (const limit = AbortSignal.timeout(20_000); !limit.aborted && (await refusals()).length === 0; ) await sleep(50);
		const [refusal, ...others] = await refusals();
		assert.deepEqual([refusal?.type, refusal?.proxy.startsWith("ours-broken-"), others], ["bootstrap", true, []]);
		assert.match(refusal?.message ?? "", /cluster 'xds-grpc': duplicate name/);
	});
});
