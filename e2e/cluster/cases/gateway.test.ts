import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { apply, eventually, kubectl } from "../kubectl.ts";
import { clusterMissing, deploy, example, freshNamespace, helm, installMesh, pods, removeNamespace, rolledOut } from "../mesh.ts";
import { curlFrom } from "../traffic.ts";

const namespace = "e2e-gateway";
const outside = "e2e-gateway-outside";
const release = "istio-ingressgateway";
const host = "bookinfo.example.com";
const charts = join(import.meta.dirname, "../../../charts");
const folder = mkdtempSync(join(tmpdir(), "weft-e2e-gateway-"));

/** A certificate of its own authority, in the form of a Secret. */
function secret(name: string, organisation: string): readonly object[] {
	const [key, cert] = [join(folder, `${organisation}.key`), join(folder, `${organisation}.crt`)];
	const subject = `/O=${organisation}/CN=${host}`;
	const names = ["-addext", `subjectAltName=DNS:${host}`];
	execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, ...names, "-keyout", key, "-out", cert], {
		stdio: "ignore",
	});
	const stringData = { "tls.key": readFileSync(key, "utf8"), "tls.crt": readFileSync(cert, "utf8") };
	return [{ apiVersion: "v1", kind: "Secret", metadata: { name }, type: "kubernetes.io/tls", stringData }];
}

const gateway = {
	apiVersion: "networking.istio.io/v1",
	kind: "Gateway",
	metadata: { name: "bookinfo-gateway" },
	spec: {
		selector: { istio: "ingressgateway" },
		servers: [
			{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] },
			{ port: { number: 443, name: "https", protocol: "HTTPS" }, hosts: [host], tls: { mode: "SIMPLE", credentialName: "bookinfo-cert" } },
		],
	},
};

describe("an ingress gateway", { skip: clusterMissing }, () => {
	before(async () => {
		await installMesh();
		await freshNamespace(namespace);
		await freshNamespace(outside, { "istio-injection": "disabled" });
		await helm(
			"upgrade",
			"--install",
			release,
			join(charts, "gateway"),
			"-n",
			namespace,
			"--set",
			"service.type=ClusterIP",
			"--set",
			"autoscaling.enabled=false",
			"--set",
			"resources.requests.cpu=10m",
		);
		await deploy(namespace, "bookinfo/bookinfo.yaml");
		await deploy(outside, "sleep/sleep.yaml");
		const virtualService = example("bookinfo/networking/bookinfo-gateway.yaml")
			.split("---\n")
			.find((document) => document.includes("kind: VirtualService"));
		assert.ok(virtualService);
		await apply(namespace, [gateway]);
		await apply(namespace, virtualService);
		await rolledOut(namespace);
	});
	after(async () => {
		await helm("uninstall", release, "-n", namespace);
		await removeNamespace(namespace);
		await removeNamespace(outside);
		rmSync(folder, { recursive: true });
	});

	const address = `${release}.${namespace}.svc.cluster.local`;

	test("is one container without an init container, and helm test passes", async () => {
		const [pod] = await pods(namespace, "istio=ingressgateway");
		assert.deepEqual(
			pod?.spec.containers.map(({ name }) => name),
			["istio-proxy"],
		);
		assert.equal(pod?.spec.initContainers?.length ?? 0, 0);
		assert.match(await helm("test", release, "-n", namespace), /Phase:\s+Succeeded/);
	});

	test("answers from outside of the mesh by its VirtualService, and 404 beside it", async () => {
		await eventually("productpage", async () => assert.equal((await curlFrom(outside, "deploy/sleep", `http://${address}/productpage`)).status, 200));
		assert.equal((await curlFrom(outside, "deploy/sleep", `http://${address}/elsewhere`)).status, 404);
	});

	test("serves HTTPS with a Secret, and the new certificate when it is changed", async () => {
		const handshake = async () => {
			const ip = (await kubectl("get", "service", "-n", namespace, release, "-o", "jsonpath={.spec.clusterIP}")).trim();
			return curlFrom(outside, "deploy/sleep", "-k", "-v", "--stderr", "-", "--resolve", `${host}:443:${ip}`, `https://${host}/productpage`);
		};
		for (const organisation of ["first", "second"]) {
			await apply(namespace, secret("bookinfo-cert", organisation));
			await eventually(`the ${organisation} certificate`, async () => {
				const { status, headers, body } = await handshake();
				assert.equal(status, 200);
				assert.match(headers + body, new RegExp(`subject:.*O=${organisation}\\b`));
			});
		}
	});
});
