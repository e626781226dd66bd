import assert from "node:assert/strict";
import { request } from "node:https";
import { after, before, describe, test } from "node:test";
import { resources } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { startTestApi, startTestControlPlane, type TestControlPlane } from "../kubernetes/test-control-plane.ts";

let api: FakeApiServer;
let plane: TestControlPlane;

interface Webhook {
	readonly name: string;
	readonly failurePolicy?: string;
	readonly clientConfig: { readonly caBundle?: string; readonly service?: object };
}

const config = (name: string, labels: Readonly<Record<string, string>>, failurePolicy: string) => ({
	metadata: { name, labels },
	webhooks: ["namespace.sidecar-injector.istio.io", "object.sidecar-injector.istio.io"].map((webhook) => ({
		name: webhook,
		failurePolicy,
		clientConfig: { service: { name: "istiod", namespace: "istio-system", path: "/x" } },
	})),
});
const injector = config("istio-sidecar-injector", { "istio.io/rev": "default" }, "Fail");
const validator = config("istio-validator-istio-system", { "istio.io/rev": "default" }, "Ignore");

const webhooks = (type: (typeof resources)["mutatingWebhooks"] | (typeof resources)["validatingWebhooks"], name: string) =>
	(api.get(type, "", name)?.["webhooks"] ?? []) as readonly Webhook[];
const bundle = () => Buffer.from(plane.rootsPem()).toString("base64");
const ready = async () => (await fetch(`http://${plane.readyAddress}/ready`)).text();

before(async () => {
	api = await startTestApi();
	api.put(resources.mutatingWebhooks, injector);
	api.put(resources.validatingWebhooks, validator);
	plane = await startTestControlPlane(api);
	await until("roots are handed out", () => plane.rootsPem() !== "");
});

after(async () => {
	await plane.stop();
	api.close();
});

describe("webhook configurations", () => {
	test("get the roots, and keep where they point to; then the replica is ready", async () => {
		await until("it is ready", async () => (await ready()) === "ready\n");
		for (const webhook of webhooks(resources.mutatingWebhooks, "istio-sidecar-injector")) {
			assert.equal(webhook.clientConfig.caBundle, bundle());
			assert.deepEqual(webhook.clientConfig.service, { name: "istiod", namespace: "istio-system", path: "/x" });
			assert.equal(webhook.failurePolicy, "Fail");
		}
	});

	test("are mended when somebody takes the roots out", async () => {
		api.put(resources.mutatingWebhooks, injector);
		await until("the roots are back", () => webhooks(resources.mutatingWebhooks, "istio-sidecar-injector").every((w) => w.clientConfig.caBundle === bundle()));
	});

	test("of a revision's tags get the roots, others do not", async () => {
		api.put(resources.mutatingWebhooks, config("istio-revision-tag-prod", { "istio.io/rev": "default", "istio.io/tag": "prod" }, "Fail"));
		api.put(resources.mutatingWebhooks, config("istio-revision-tag-other", { "istio.io/rev": "canary", "istio.io/tag": "other" }, "Fail"));
		await until("the tag's has them", () => webhooks(resources.mutatingWebhooks, "istio-revision-tag-prod").every((w) => w.clientConfig.caBundle === bundle()));
		assert.ok(webhooks(resources.mutatingWebhooks, "istio-revision-tag-other").every((w) => w.clientConfig.caBundle === undefined));
	});

	test("that validate what names no revision get the roots where their label names ours", async () => {
		api.put(resources.validatingWebhooks, config("istiod-default-validator", { "istio.io/rev": "default", "istio.io/tag": "default" }, "Ignore"));
		api.put(resources.validatingWebhooks, config("istiod-other-validator", { "istio.io/rev": "canary", "istio.io/tag": "default" }, "Ignore"));
		await until("it has them", () => webhooks(resources.validatingWebhooks, "istiod-default-validator").every((w) => w.clientConfig.caBundle === bundle()));
		assert.ok(webhooks(resources.validatingWebhooks, "istiod-other-validator").every((w) => w.clientConfig.caBundle === undefined));
	});

	test("of validation stay Ignore until the API server has refused an invalid object in our words", async () => {
		const policies = () => webhooks(resources.validatingWebhooks, "istio-validator-istio-system").map((w) => w.failurePolicy);
		await until("an attempt was made", () => plane.log.some((line) => line.includes("validation is not in force yet")));
		assert.deepEqual(policies(), ["Ignore", "Ignore"]);
		api.admit = (object) => (object["kind"] === "Gateway" ? "the CRD does not allow it" : undefined);
		await until("another refusal was seen", () => plane.log.some((line) => line.includes("validation is not proved yet")));
		assert.deepEqual(policies(), ["Ignore", "Ignore"]);
		api.admit = (object) =>
			object["kind"] === "Gateway" ? 'admission webhook "x" denied the request: spec.servers: gateway must have at least one server' : undefined;
		await until("it is Fail", () => policies().every((policy) => policy === "Fail"));
		// A helm upgrade writes Ignore again.
		api.put(resources.validatingWebhooks, validator);
		await until("it is Fail again, with the roots", () =>
			webhooks(resources.validatingWebhooks, "istio-validator-istio-system").every((w) => w.failurePolicy === "Fail" && w.clientConfig.caBundle === bundle()),
		);
	});
});

interface Answer {
	readonly status: number;
	readonly text: string;
	/** How long the connection stays open when it idles, as the answer says. */
	readonly idleSeconds: number;
}

function post(
	path: string,
	body: string,
	headers: Readonly<Record<string, string>> = { "content-type": "application/json" },
	method = "POST",
): Promise<Answer> {
	const [host, port] = ["127.0.0.1", plane.webhookAddress.split(":").at(-1)];
	return new Promise((resolve, reject) => {
		const sent = request({ host, port, path, method, headers, ca: plane.rootsPem(), servername: "istiod.istio-system.svc" }, (response) => {
			const chunks: Buffer[] = [];
			response.on("data", (chunk: Buffer) => chunks.push(chunk));
			const idleSeconds = Number(/timeout=(\d+)/.exec(String(response.headers["keep-alive"] ?? ""))?.[1] ?? 0);
			response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString(), idleSeconds }));
		});
		sent.on("error", reject);
		sent.end(body);
	});
}

describe("the webhook server", () => {
	test("answers what the API server asks", async () => {
		const object = { apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "g", namespace: "default" }, spec: {} };
		const { status, text } = await post(
			"/validate",
			JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: { uid: "u", operation: "CREATE", object } }),
		);
		assert.equal(status, 200);
		assert.match(text, /"allowed":false.*gateway must have at least one server/);
	});

	test("keeps an idle connection longer than the API server does, which could else send a review into one that is closed", async () => {
		const { idleSeconds } = await post("/ready", "", { connection: "keep-alive" }, "GET");
		assert.ok(idleSeconds > 90, String(idleSeconds));
	});

	const cases: readonly (readonly [string, () => Promise<Answer>, number])[] = [
		["a body without end", () => post("/validate", "x", { "content-type": "application/json", "content-length": String(100 << 20) }), 413],
		["a huge body", () => post("/validate", " ".repeat(9 << 20), { "content-type": "application/json", "transfer-encoding": "chunked" }), 413],
		["a deep one", () => post("/validate", "[".repeat(1 << 20)), 400],
		["another content type", () => post("/validate", "{}", { "content-type": "text/plain" }), 415],
		["another method", () => post("/validate", "", {}, "GET"), 405],
		["another path", () => post("/nowhere", "{}"), 404],
	];
	for (const [name, send, status] of cases) {
		test(`sec/e47: refuses ${name}, and goes on`, async () => {
			// A server that closes before it has read all may be seen as a reset.
			const answer = await send().catch((error: NodeJS.ErrnoException) => error.code ?? "");
			assert.ok(typeof answer === "string" ? ["ECONNRESET", "EPIPE"].includes(answer) && status === 413 : answer.status === status, JSON.stringify(answer));
			assert.equal((await post("/ready", "", {}, "GET")).status, 200);
		});
	}
});
