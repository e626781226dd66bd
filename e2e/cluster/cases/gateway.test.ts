import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { apply, eventually, kubectl } from "../kubectl.ts";
import { clusterMissing, deploy, example, freshNamespace, helm, installMesh, pods, removeNamespace, rolledOut } from "../mesh.ts";
import { curlFrom, type TlsAnswer, tlsFrom } from "../traffic.ts";

const namespace = "e2e-gateway";
const outside = "e2e-gateway-outside";
const release = "istio-ingressgateway";
const host = "bookinfo.example.com";
const charts = join(import.meta.dirname, "../../../charts");
const folder = mkdtempSync(join(tmpdir(), "weft-e2e-gateway-"));

/** A certificate that is its own authority. */
function certificate(organisation: string): { readonly key: string; readonly cert: string } {
	const [key, cert] = [join(folder, `${organisation}.key`), join(folder, `${organisation}.crt`)];
	const subject = `/O=${organisation}/CN=${host}`;
	const names = ["-addext", `subjectAltName=DNS:${host}`];
	execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, ...names, "-keyout", key, "-out", cert], {
		stdio: "ignore",
	});
	return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
}

function secret(name: string, stringData: Readonly<Record<string, string>>): readonly object[] {
	return [{ apiVersion: "v1", kind: "Secret", metadata: { name }, type: "Opaque", stringData }];
}

const tlsSecret = (name: string, { key, cert }: ReturnType<typeof certificate>) => secret(name, { "tls.key": key, "tls.crt": cert });

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
			await apply(namespace, tlsSecret("bookinfo-cert", certificate(organisation)));
			await eventually(`the ${organisation} certificate`, async () => {
				const { status, headers, body } = await handshake();
				assert.equal(status, 200);
				assert.match(headers + body, new RegExp(`subject:.*O=${organisation}\\b`));
			});
		}
	});

	test("MUTUAL asks clients for a certificate of the Secret's authority, httpsRedirect sends to HTTPS, PASSTHROUGH leaves TLS alone", async () => {
		const [server, friend, stranger] = [certificate("server"), certificate("friend"), certificate("stranger")];
		await apply(namespace, secret("mutual", { cert: server.cert, key: server.key, cacert: friend.cert }));
		const servers = [
			{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: [host], tls: { httpsRedirect: true } },
			{ port: { number: 443, name: "https", protocol: "HTTPS" }, hosts: [host], tls: { mode: "MUTUAL", credentialName: "mutual" } },
			// Nothing serves this one: what is asked for is missing, and nobody else is harmed by it.
			{ port: { number: 443, name: "absent", protocol: "HTTPS" }, hosts: ["absent.example.com"], tls: { mode: "SIMPLE", credentialName: "absent" } },
			{ port: { number: 443, name: "through", protocol: "TLS" }, hosts: ["through.example.com"], tls: { mode: "PASSTHROUGH" } },
		];
		await apply(namespace, [{ ...gateway, spec: { ...gateway.spec, servers } }]);
		const ask = (identity: Partial<ReturnType<typeof certificate>>, name = host) =>
			tlsFrom(outside, "deploy/sleep", { address, host: name, path: "/productpage", ...identity });
		await eventually("a friend", async () => assert.deepEqual(await ask(friend), { status: 200, organisation: "server" }));
		assert.match((await ask(stranger)).failure ?? "answered", /SSL|ECONNRESET|EPROTO/i);
		assert.match((await ask({})).failure ?? "answered", /SSL|ECONNRESET|EPROTO/i);
		assert.match((await ask({}, "absent.example.com")).failure ?? "answered", /SSL|ECONNRESET|EPROTO/i);
		const plain = await curlFrom(outside, "deploy/sleep", "-H", `Host: ${host}`, `http://${address}/productpage`);
		assert.equal(plain.status, 301);
		assert.match(plain.headers, new RegExp(`location: https://${host}/productpage`, "i"));
		await passThrough(ask);
	});
});

/** A server of TLS behind the gateway, that the gateway knows by the client's SNI only. */
async function passThrough(ask: (identity: object, name: string) => Promise<TlsAnswer>): Promise<void> {
	const { key, cert } = certificate("behind");
	const script = `require('node:https').createServer({ key: ${JSON.stringify(key)}, cert: ${JSON.stringify(cert)} }, (_, r) => r.end('behind')).listen(8443)`;
	const labels = { app: "behind" };
	const image = "docker.io/curlimages/curl:8.16.0";
	const container = { name: "behind", image, command: ["node", "-e", script], ports: [{ containerPort: 8443 }] };
	await apply(outside, [
		{ apiVersion: "v1", kind: "Service", metadata: { name: "behind" }, spec: { selector: labels, ports: [{ name: "tls", port: 443, targetPort: 8443 }] } },
		{
			apiVersion: "apps/v1",
			kind: "Deployment",
			metadata: { name: "behind" },
			spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } },
		},
	]);
	await rolledOut(outside);
	const name = "through.example.com";
	const route = { match: [{ port: 443, sniHosts: [name] }], route: [{ destination: { host: `behind.${outside}.svc.cluster.local`, port: { number: 443 } } }] };
	const spec = { hosts: [name], gateways: ["bookinfo-gateway"], tls: [route] };
	await apply(namespace, [{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "through" }, spec }]);
	await eventually("the server behind", async () => assert.deepEqual(await ask({}, name), { status: 200, organisation: "behind" }));
}
