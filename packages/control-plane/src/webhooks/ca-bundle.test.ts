import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { type KubeClient, type KubeObject, resources } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer, until } from "@weft/kube/testing";
import { createLogger, systemClock } from "@weft/runtime";
import { type CaBundleWriter, runCaBundles } from "./ca-bundle.ts";

const type = resources.mutatingWebhooks;
const name = "istio-sidecar-injector";
const [ours, theirs] = ["our root", "their root"].map((pem) => Buffer.from(pem).toString("base64")) as [string, string];

let api: FakeApiServer;
let stopping: AbortController;
let draining: AbortController;

beforeEach(async () => {
	api = await startFakeApiServer();
	stopping = new AbortController();
	draining = new AbortController();
	put("");
});

afterEach(() => {
	stopping.abort();
	api.close();
});

const put = (caBundle: string) =>
	api.put(type, { metadata: { name }, webhooks: [{ name: "namespace.sidecar-injector.istio.io", clientConfig: { caBundle } }] });

function bundle(): string | undefined {
	const webhooks = (api.get(type, "", name)?.["webhooks"] ?? []) as readonly { readonly clientConfig: { readonly caBundle: string } }[];
	return webhooks[0]?.clientConfig.caBundle;
}

function start(client: KubeClient = api.client): CaBundleWriter {
	return runCaBundles({
		client,
		injectorConfigName: name,
		validatorConfigName: "",
		namespace: "istio-system",
		revision: "default",
		roots: { pem: () => "our root", list: () => ["our root"], onChanged: () => () => undefined },
		clock: systemClock,
		logger: createLogger({ level: "none" }),
		draining: draining.signal,
		signal: stopping.signal,
	});
}

/** Patches whose answers come after what happens in between was told. */
function slowly(between: () => Promise<void>): KubeClient {
	const patch: KubeClient["patch"] = async (...args): Promise<KubeObject> => {
		const patched = await api.client.patch(...args);
		await between();
		return patched;
	};
	return { ...api.client, patch };
}

describe("our roots in the webhook configurations", () => {
	test("are written, and written again when somebody takes them out", async () => {
		const writer = start();
		await until("they are there", () => bundle() === ours && writer.waitingFor().length === 0);
		put(theirs);
		await until("they are there again", () => bundle() === ours);
	});

	test("are written again, too, when somebody takes them out before the answer to our own writing is there", async () => {
		let times = 0;
		const writer = start(
			slowly(async () => {
				if (times++ > 0) return;
				put(theirs);
				await systemClock.sleep(100);
			}),
		);
		await until("they are there again", () => bundle() === ours && times > 1);
		await until("nothing is waited for", () => writer.waitingFor().length === 0);
	});

	test("are left to the successor by a replica that is about to end", async () => {
		const writer = start();
		await until("they are there", () => bundle() === ours && writer.waitingFor().length === 0);
		draining.abort();
		put(theirs);
		await systemClock.sleep(100);
		assert.equal(bundle(), theirs);
	});
});
