import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";
import { findEnvoy } from "../../scripts/peers-find.mjs";

// A stock Envoy as the sidecar of productpage: our Pilot, our certificates, somebody else's proxy.
const envoy = process.env["WEFT_ENVOY"] ?? findEnvoy();
const examples = join(import.meta.dirname, "../../examples");
const read = (file: string) => readFileSync(join(examples, "bookinfo", file), "utf8");

/** Bookinfo with productpage's pod annotated to get an Envoy. */
function withEnvoy(yaml: string): string {
	const marked = yaml.replace(/(name: productpage-v1\n(?:.*\n)*?\s+template:\n\s+metadata:\n)(\s+)(labels:)/, "$1$2annotations: {weft.dev/proxy: envoy}\n$2$3");
	assert.notEqual(marked, yaml, "the Deployment of productpage was found");
	return marked;
}

describe("a real Envoy as one of Bookinfo's sidecars", { skip: envoy === undefined ? "no Envoy here: npm run peers" : false }, () => {
	let mesh: TestMesh;

	before(async () => {
		mesh = await startTestMesh({
			sources: [{ file: "bookinfo.yaml", text: withEnvoy(read("bookinfo.yaml")) }],
			imageFiles: [join(examples, "weft.local.yaml")],
			certificateTtl: "60s",
			envoy: envoy ?? "",
		});
		for (const file of ["destination-rule-all", "virtual-service-all-v1"]) await mesh.applyYaml(read(`networking/${file}.yaml`));
	});

	after(async () => {
		await mesh?.stop();
		closeConnections();
	});

	const admin = async (path: string) => {
		const pod = mesh.pods().find((p) => p.workload === "productpage-v1");
		assert.ok(pod);
		return (await fetch(`http://${pod.adminAddress}${path}`)).text();
	};

	async function stats(pattern: RegExp): Promise<ReadonlyMap<string, number>> {
		const lines = (await admin("/stats")).split("\n").filter((line) => pattern.test(line));
		return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(": ")), Number(line.slice(line.lastIndexOf(": ") + 2))] as const));
	}

	const total = (values: ReadonlyMap<string, number>) => [...values.values()].reduce((a, b) => a + b, 0);
	const reviews = () =>
		load(() => mesh.call("productpage", "/api/v1/products/0/reviews"), {
			requests: 600,
			concurrency: 8,
			classify: (a) => /"reviews-(v\d)/.exec(a.body)?.[1] ?? `status ${a.status}`,
		});

	test("it is Envoy, and it took every type of resource without refusing any", async () => {
		assert.match(await admin("/server_info"), /"version": ".*1\.\d+\.\d+/);
		for (const type of ["cluster_manager.cds", "listener_manager.lds"]) {
			assert.ok((await stats(new RegExp(`^${type}\\.update_success:`))).get(`${type}.update_success`) ?? 0, type);
		}
		for (const type of ["cluster\\..*update_success", "http\\..*rds\\..*update_success", "sds\\..*update_success"])
			assert.ok(total(await stats(new RegExp(`^${type}`))) > 0, type);
		assert.equal(total(await stats(/update_rejected/)), 0);
	});

	test("600 requests in through it and out through it, peers' names checked both ways", async () => {
		const { sent, kinds, errors } = await reviews();
		assert.deepEqual([sent, kinds, errors], [600, { v1: 600 }, []]);
		assert.ok(total(await stats(/^http\.inbound.*downstream_rq_2xx/)) >= 600, "inbound");
		assert.ok(total(await stats(/^cluster\.outbound.*reviews.*upstream_rq_200:/)) >= 600, "outbound");
		assert.ok(total(await stats(/ssl\.handshake:/)) > 0);
		assert.equal(total(await stats(/ssl\.fail_verify_/)), 0);
		const dump = await admin("/config_dump?resource=dynamic_active_clusters");
		assert.match(dump, /spiffe:\/\/cluster\.local\/ns\/default\/sa\/bookinfo-reviews/);
		// The other side of the same connection: our sidecar saw Envoy's certificate.
		const details = mesh.pods().find((p) => p.workload === "reviews-v1");
		const metrics = await (await fetch(`http://${details?.adminAddress}/stats/prometheus`)).text();
		assert.match(metrics, /istio_requests_total\{[^}]*source_principal="spiffe:\/\/cluster\.local\/ns\/default\/sa\/bookinfo-productpage"/);
	});

	test("it carries the canary", async () => {
		await mesh.applyYaml(read("networking/virtual-service-reviews-50-v3.yaml"));
		const { sent, kinds, errors } = await reviews();
		assert.deepEqual([sent, errors], [600, []]);
		assert.ok(Math.abs((kinds["v3"] ?? 0) - 300) < 60, JSON.stringify(kinds));
	});

	test("its certificate is rotated while it serves, and nothing fails", { timeout: 100_000 }, async () => {
		type Certs = { readonly certificates: readonly { readonly cert_chain: readonly { readonly serial_number: string }[] }[] };
		const serial = async () => (JSON.parse(await admin("/certs")) as Certs).certificates.flatMap((c) => c.cert_chain)[0]?.serial_number;
		const first = await serial();
		assert.ok(first);
		const stop = new AbortController();
		const running = load(() => mesh.call("productpage", "/api/v1/products/0/reviews"), {
			requests: 1_000_000,
			concurrency: 2,
			pauseMs: 10,
			signal: stop.signal,
		});
		let waited = 0;
		for (; waited < 60_000 && (await serial()) === first; waited += 250) await sleep(250);
		await sleep(1_000);
		stop.abort();
		const { sent, kinds, errors } = await running;
		assert.notEqual(await serial(), first, "a new certificate is in use");
		assert.ok(sent > 100);
		assert.deepEqual([kinds, errors], [{ 200: sent }, []]);
		assert.equal(total(await stats(/update_rejected/)), 0);
	});
});
