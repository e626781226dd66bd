import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { type KubeObject, resourceOf } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { type AdsStream, openAds, service, startTestApi, startTestControlPlane, type TestControlPlane, token } from "./test-control-plane.ts";

interface Status {
	readonly conditions?: readonly {
		readonly type: string;
		readonly status: string;
		readonly reason: string;
		readonly message: string;
		readonly lastTransitionTime: string;
	}[];
	readonly validationMessages?: readonly { readonly level: string }[];
	readonly observedGeneration?: number;
}

let api: FakeApiServer;
let plane: TestControlPlane;
const streams: AdsStream[] = [];
/** Names of the objects whose status was written, one entry a write. */
const writes: string[] = [];

before(async () => {
	api = await startTestApi();
	for (const name of ["web", "refused"]) api.put(resourceOf("Service"), service(name));
	api.admit = (object) => {
		const { kind, metadata } = object as unknown as KubeObject;
		if (object["status"] !== undefined && kind !== "Lease") writes.push(`${kind}/${metadata.name}`);
		return undefined;
	};
	plane = await startTestControlPlane(api);
	await until("roots are handed out", () => plane.rootsPem() !== "");
});

afterEach(() => {
	for (const stream of streams.splice(0)) stream.close();
});

after(async () => {
	await plane.stop();
	api.close();
});

function connect(pod: string, refuse?: () => string | undefined): AdsStream {
	const bearer = token({ ns: "default", sa: "web", pod });
	const stream = openAds(plane, { token: bearer, namespace: "default", serviceAccount: "web", pod, ...(refuse && { refuse }) });
	streams.push(stream);
	return stream;
}

const rules = resourceOf("DestinationRule");
const rule = (name: string, generation = 1, spec: object = { host: name }): KubeObject => ({ metadata: { name, namespace: "default", generation }, spec });
const statusOf = (type: typeof rules, name: string) => api.get(type, "default", name)?.["status"] as Status | undefined;
const conditionOf = (name: string, type: string) => statusOf(rules, name)?.conditions?.find((condition) => condition.type === type);

test("an object tells that it is valid and which proxies have it in force, and is not written again", async () => {
	const streamOne = connect("web-1");
	await until("the proxy has its clusters", () => streamOne.responses.length > 0);
	api.put(rules, rule("web"));
	await until("it is in force", () => conditionOf("web", "Reconciled")?.status === "True");
	assert.equal(conditionOf("web", "Reconciled")?.message, "1/1 proxies up to date.");
	assert.equal(conditionOf("web", "PassedValidation")?.status, "True");
	assert.match(conditionOf("web", "Reconciled")?.lastTransitionTime ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
	assert.equal(statusOf(rules, "web")?.observedGeneration, 1);
	const policies = resourceOf("AuthorizationPolicy");
	api.put(policies, { metadata: { name: "later", namespace: "default", generation: 1 }, spec: {} });
	await until("a later object has its status", () => statusOf(policies, "later") !== undefined);
	assert.equal(writes.filter((name) => name === "DestinationRule/web").length, 1);
});

test("a refusal is told with the resource and the proxy's words", async () => {
	let refuses = false;
	const stream = connect("web-2", () => (refuses ? "subsets are no good" : undefined));
	await until("the proxy has its clusters", () => stream.responses.length > 0);
	refuses = true;
	api.put(rules, rule("refused", 1, { host: "refused", trafficPolicy: { connectionPool: { tcp: { maxConnections: 7 } } } }));
	await until("it is refused", () => conditionOf("refused", "Reconciled")?.reason === "Rejected");
	assert.match(
		conditionOf("refused", "Reconciled")?.message ?? "",
		/^\d\/\d proxies up to date\. web-2\.default refused cds .*outbound\|80\|\|refused\.default.*: subsets are no good$/,
	);
	assert.equal(conditionOf("refused", "PassedValidation")?.status, "True");
	refuses = false;
	api.put(rules, rule("refused", 2));
	await until("it is mended", () => conditionOf("refused", "Reconciled")?.status === "True");
	assert.equal(statusOf(rules, "refused")?.observedGeneration, 2);
});

test("what is not valid says so, also where nothing of it ever was", async () => {
	api.put(rules, rule("wrong", 1, { host: 7 }));
	await until("it says so", () => conditionOf("wrong", "PassedValidation")?.status === "False");
	assert.match(conditionOf("wrong", "PassedValidation")?.message ?? "", /IST0106.*spec\.host/);
	assert.equal(statusOf(rules, "wrong")?.validationMessages?.[0]?.level, "ERROR");
	api.put(rules, rule("wrong", 2, { host: "web" }));
	await until("it is mended", () => conditionOf("wrong", "PassedValidation")?.status === "True");
	assert.deepEqual(statusOf(rules, "wrong")?.validationMessages, []);
});

test("who takes the status away gets it back", async () => {
	api.put(rules, rule("taken"));
	await until("it has its status", () => statusOf(rules, "taken") !== undefined);
	api.put(rules, rule("taken"));
	await until("it has it again", () => statusOf(rules, "taken") !== undefined);
});

test("status is no change: nothing is pushed for it", async () => {
	const stream = connect("web-3");
	await until("the proxy has its clusters", () => stream.responses.length > 0);
	const pushes = () => plane.log.filter((line) => line.includes("push") && line.includes("version")).length;
	api.put(rules, rule("quiet"));
	await until("it has its status", () => statusOf(rules, "quiet") !== undefined);
	const before = pushes();
	api.put(rules, { ...rule("quiet"), status: { conditions: [] } });
	await until("its status is mended", () => (statusOf(rules, "quiet")?.conditions?.length ?? 0) > 0);
	assert.equal(pushes(), before);
});
