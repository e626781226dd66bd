import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { apply, eventually, kubectl, kubectlJson, output } from "../kubectl.ts";
import { client, clusterMissing, deploy, freshNamespace, installMesh, pods, removeNamespace, rolledOut, systemNamespace, weft } from "../mesh.ts";
import { type Signer, startSigner } from "../signer.ts";
import { assertNoneFailed, curlFrom, type LoadResult, loadFrom } from "../traffic.ts";

// Certificates that somebody behind the Kubernetes API signs: https://istio.io/latest/docs/tasks/security/cert-management/custom-ca-k8s/

const namespace = "e2e-signer";
const domain = "signers.weft.test";
/** For workloads, and for the control plane's own certificate. */
const [workloads, servers] = [`${domain}/workloads`, `${domain}/servers`];
const url = "http://httpbin:8000/headers";
const uriOf = (account: string, home = namespace) => `spiffe://cluster.local/ns/${home}/sa/${account}`;
/** Every certificate is renewed at half of it, within the load, and then has time left for a signer that is slow or away. */
const lifeSeconds = 150;
const loadMs = 100_000;
const ratePerSecond = 50;

const controlPlaneLog = () => kubectl("logs", "-n", systemNamespace, "deployment/istiod", "--tail=-1");
const waitingAt = async (signerName: string) =>
	(await kubectl("get", "csr", "-o", `jsonpath={.items[?(@.spec.signerName=="${signerName}")].metadata.name}`)).split(" ").filter((name) => name !== "");
const isReady = async (app: string) => (await pods(namespace, `app=${app}`)).every(({ status }) => status.containerStatuses?.every(({ ready }) => ready));
const answers = async (from: string) => assert.equal((await curlFrom(namespace, `deploy/${from}`, url)).status, 200);

async function chainOf(workload: string): Promise<readonly X509Certificate[]> {
	const text = await weft("pc", "secret", workload, "-n", namespace, "-o", "json");
	const inline = /certificate_chain[^}]*"inline_bytes": "([^"]+)"/s.exec(text)?.[1] ?? "";
	const blocks =
		Buffer.from(inline, "base64")
			.toString()
			.match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g) ?? [];
	return blocks.map((pem) => new X509Certificate(pem));
}

interface Access {
	readonly verb: string;
	readonly resource: string;
	readonly name?: string;
	readonly subresource?: string;
}

/** Whether the control plane's service account may do that. */
async function mayControlPlane(attributes: Access): Promise<boolean> {
	const review = {
		apiVersion: "authorization.k8s.io/v1",
		kind: "SubjectAccessReview",
		spec: { user: `system:serviceaccount:${systemNamespace}:istiod`, resourceAttributes: { group: "certificates.k8s.io", ...attributes } },
	};
	const answer = await output("kubectl", ["create", "-f", "-", "-o", "json"], { input: JSON.stringify(review) });
	return (JSON.parse(answer) as { readonly status: { readonly allowed: boolean } }).status.allowed;
}

describe("certificates by signers behind the Kubernetes API", { skip: clusterMissing }, () => {
	let signer: Signer;
	let running: Promise<LoadResult>;
	let firstSerial: string | undefined;
	before(async () => {
		signer = await startSigner({ signerNames: [workloads, servers], lifeSeconds });
		await installMesh({
			set: [
				"env.EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API",
				`env.K8S_SIGNER=${workloads}`,
				`env.CERT_SIGNER_DOMAIN=${domain}`,
				`global.pilotCertProvider=k8s.io/${servers}`,
				`global.certSigners={${workloads},${servers}}`,
			],
			setFile: { "meshConfig.caCertificates[0].pem": signer.rootFile },
		});
		await freshNamespace(namespace);
		await deploy(namespace, "httpbin/httpbin.yaml", "sleep/sleep.yaml");
		await apply(namespace, [
			{ apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "default" }, spec: { mtls: { mode: "STRICT" } } },
		]);
	});
	after(async () => {
		await removeNamespace(namespace);
		await installMesh();
		signer.stop();
	});

	test("mutual TLS passes between pods whose certificates the signer gave", async () => {
		await eventually("the first answer", () => answers("sleep"));
		assert.match((await curlFrom(namespace, "deploy/sleep", url)).body, new RegExp(`By=${uriOf("httpbin")};.*URI=${uriOf("sleep")}`));
		const root = new X509Certificate(signer.rootPem);
		for (const workload of ["httpbin", "sleep"]) {
			const [leaf] = await chainOf(`deploy/${workload}`);
			assert.ok(leaf, workload);
			assert.ok(leaf.verify(root.publicKey), `${workload}: ${leaf.issuer}`);
			assert.equal(leaf.subjectAltName, `URI:${uriOf(workload)}`);
		}
	});

	test("the control plane's own certificate is its own signer's, and namespaces find the signers' root", async () => {
		const own = signer.seen.find(({ spec }) => spec.signerName === servers);
		assert.equal(own?.uri, uriOf("istiod", systemNamespace));
		assert.ok(signer.seen.every(({ uri, spec }) => (spec.signerName === servers) === (uri === own?.uri)));
		const { data } = await kubectlJson<{ readonly data: Readonly<Record<string, string>> }>("get", "configmap", "-n", namespace, "istio-ca-root-cert");
		assert.equal(data["root-cert.pem"], signer.rootPem);
	});

	test("the API server knows the control plane as who asked, and keeps none of its requests", async () => {
		for (const { spec } of signer.seen) {
			assert.equal(spec.username, `system:serviceaccount:${systemNamespace}:istiod`);
			assert.deepEqual(spec.usages, ["digital signature", "key encipherment", "server auth", "client auth"]);
		}
		await eventually("they are taken away", async () => assert.deepEqual(await waitingAt(workloads), []));
	});

	test("its role is for these signers: it approves theirs, signs nothing, and reads no list of requests", async () => {
		const requests = "certificatesigningrequests";
		const table: readonly (readonly [Access, boolean])[] = [
			[{ verb: "create", resource: requests }, true],
			[{ verb: "get", resource: requests }, true],
			[{ verb: "delete", resource: requests }, true],
			[{ verb: "update", resource: requests, subresource: "approval" }, true],
			[{ verb: "approve", resource: "signers", name: workloads }, true],
			[{ verb: "approve", resource: "signers", name: servers }, true],
			[{ verb: "approve", resource: "signers", name: `${domain}/others` }, false],
			[{ verb: "approve", resource: "signers", name: "kubernetes.io/kube-apiserver-client" }, false],
			[{ verb: "sign", resource: "signers", name: workloads }, false],
			[{ verb: "update", resource: requests, subresource: "status" }, false],
			[{ verb: "update", resource: requests }, false],
			[{ verb: "list", resource: requests }, false],
			[{ verb: "watch", resource: requests }, false],
		];
		for (const [access, isAllowed] of table) assert.equal(await mayControlPlane(access), isAllowed, JSON.stringify(access));
	});

	test("a signer outside of the role: nothing is signed, and the log says what is missing", async () => {
		firstSerial = (await chainOf("deploy/httpbin"))[0]?.serialNumber;
		// Goes on until the last test: nothing that happens to others may cost a request.
		running = loadFrom(namespace, "deploy/sleep", { url, durationMs: loadMs, ratePerSecond, concurrency: 8, keepAlive: false });
		running.catch(() => undefined);
		const elsewhere = client("elsewhere", (yaml) =>
			yaml.replace(/(template:\n\s+metadata:\n)(\s+)/, "$1$2annotations: { proxy.istio.io/config: '{proxyMetadata: {ISTIO_META_CERT_SIGNER: others}}' }\n$2"),
		);
		await apply(namespace, elsewhere);
		await eventually("the refusal is told", async () =>
			assert.match(
				await controlPlaneLog(),
				new RegExp(`signer ${domain}/others: .*the control plane's ClusterRole needs the signer's name \\(value global\\.certSigners\\)`),
			),
		);
		assert.equal(await isReady("elsewhere"), false);
		await kubectl("delete", "deployment", "-n", namespace, "elsewhere");
	});

	test("a refusal of the signer is told with its reason, costs others nothing, and is asked anew", async () => {
		signer.judge = (uri) => (uri === uriOf("refused") ? { reason: "NotOnTheList", message: "who is that?" } : "sign");
		await apply(namespace, client("refused"));
		await eventually("the reason is told", async () =>
			assert.match(await controlPlaneLog(), new RegExp(`signer ${workloads}: the request was not signed: NotOnTheList: who is that\\?`)),
		);
		// The proxy may have asked before its kubelet has said that it runs.
		await eventually("the workload is told", async () =>
			assert.match(await kubectl("logs", "-n", namespace, "deployment/refused", "-c", "istio-proxy"), /NotOnTheList: who is that\?/),
		);
		assert.equal(await isReady("refused"), false);
		await answers("sleep");
		signer.judge = () => "sign";
		await rolledOut(namespace);
		await eventually("it has its certificate, and serves", () => answers("refused"));
	});

	test("a signer that does not answer is told of, is not drummed on, and the workload starts when it does", { timeout: 300_000 }, async () => {
		signer.judge = (uri) => (uri === uriOf("late") ? "hold" : "sign");
		await apply(namespace, client("late"));
		await eventually("the silence is told", async () =>
			assert.match(await controlPlaneLog(), new RegExp(`signer ${workloads} has not signed in the \\d+ s that the caller waited: is there such a signer\\?`)),
		);
		await eventually("the next one waits", async () => assert.ok(signer.seen.filter(({ uri }) => uri === uriOf("late")).length >= 2));
		await eventually("nobody waits for the first any more", async () => assert.equal((await waitingAt(workloads)).length, 1));
		assert.equal(await isReady("late"), false);
		await answers("sleep");
		signer.judge = () => "sign";
		await rolledOut(namespace);
		await eventually("it has its certificate, and serves", () => answers("late"));
	});

	test("a signer that takes a quarter of a minute for each certificate gets it done", { timeout: 300_000 }, async () => {
		signer.judge = (uri, ageMs) => (uri === uriOf("slow") && ageMs < 15_000 ? "hold" : "sign");
		await apply(namespace, client("slow"));
		await rolledOut(namespace);
		await eventually("it has its certificate, and serves", () => answers("slow"));
		signer.judge = () => "sign";
	});

	test("a signer that is away for everybody for ten seconds, and all of this, cost no request, while certificates were renewed", {
		timeout: 300_000,
	}, async (t) => {
		let isAway = true;
		signer.judge = () => (isAway ? "hold" : "sign");
		await delay(10_000);
		isAway = false;
		t.diagnostic(assertNoneFailed(await running, (loadMs / 1_000) * ratePerSecond));
		assert.notEqual((await chainOf("deploy/httpbin"))[0]?.serialNumber, firstSerial);
	});

	test("a control plane that starts while its signer is away is not ready, and is once the signer is back", { timeout: 300_000 }, async () => {
		signer.judge = (uri) => (uri === uriOf("istiod", systemNamespace) ? "hold" : "sign");
		const before = signer.seen.length;
		await kubectl("rollout", "restart", "-n", systemNamespace, "deployment/istiod");
		await eventually("it asks", async () => assert.ok(signer.seen.slice(before).some(({ spec }) => spec.signerName === servers)));
		const isServing = ({ status }: Awaited<ReturnType<typeof pods>>[number]) => status.containerStatuses?.every(({ ready }) => ready) === true;
		assert.equal((await pods(systemNamespace, "app=istiod")).every(isServing), false);
		await answers("sleep");
		signer.judge = () => "sign";
		await rolledOut(systemNamespace);
		await answers("sleep");
	});
});
