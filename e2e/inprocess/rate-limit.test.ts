import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { stranger } from "./callers.ts";
import { service, workload } from "./mesh-yaml.ts";
import { adminText, boundAddress, podOf } from "./pods.ts";

// Limits by the hour, so that nothing is refilled while a test runs.

let mesh: TestMesh;
let address: string;
const applied = new Set<string>();

before(async () => {
	mesh = await startTestMesh({ yaml: workload({ name: "server", app: "http-app.ts", ports: [8000] }) + service("server", [{ name: "http", port: 8000 }]) });
	address = await boundAddress(podOf(mesh, "server-v1"));
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

afterEach(async () => {
	for (const path of applied) {
		const [kind = "", name = ""] = path.split("/");
		await mesh.client.remove(kind, "default", name, true);
	}
	applied.clear();
});

async function apply(apiVersion: string, kind: string, name: string, spec: object, annotations: Readonly<Record<string, string>> = {}): Promise<void> {
	applied.add(`${kind}/${name}`);
	await mesh.applyYaml(JSON.stringify({ apiVersion, kind, metadata: { name, namespace: "default", annotations }, spec }));
}

const limit = (name: string, limits: readonly object[], annotations = {}) =>
	apply("weft.dev/v1alpha1", "RateLimit", name, { selector: { matchLabels: { app: "server" } }, limits }, annotations);

interface Sent {
	readonly path?: string;
	readonly method?: string;
	readonly headers?: Readonly<Record<string, string>>;
}

/** Statuses of `times` requests, one after the other. */
async function statuses(times: number, { path = "/", ...parts }: Sent = {}): Promise<readonly number[]> {
	const found: number[] = [];
	for (let i = 0; i < times; i++) found.push((await stranger.get(address, path, parts)).status);
	return found;
}

test("so many requests an hour, then 429, and headers that tell", async () => {
	await limit("all", [{ requests: 3, unit: "HOUR" }]);
	assert.deepEqual(await statuses(4), [200, 200, 200, 429]);
	const { text } = await stranger.get(address, "/");
	assert.match(text, /x-ratelimit-limit: 3\r\n[^]*local_rate_limited$/);
	await limit("all", [{ requests: 1, unit: "HOUR", burst: 2 }]);
	assert.deepEqual(await statuses(3), [200, 200, 429]);
});

test("only what matches is counted, whatever query it has", async () => {
	await limit("some", [
		{
			requests: 2,
			unit: "DAY",
			match: { paths: [{ exact: "/login" }, { prefix: "/api/" }], methods: ["GET", "PUT"], headers: [{ name: "x-plan", value: { exact: "free" } }] },
		},
	]);
	const free = { headers: { "x-plan": "free" } };
	assert.deepEqual(await statuses(2, { path: "/login", ...free }), [200, 200]);
	assert.deepEqual(await statuses(1, { path: "/login?again", ...free }), [429]);
	assert.deepEqual(await statuses(1, { path: "/api/x?y", method: "PUT", ...free }), [429]);
	assert.deepEqual(await statuses(1, { path: "/api/x", method: "DELETE", ...free }), [200]);
	assert.deepEqual(await statuses(1, { path: "/login/x", ...free }), [200]);
	assert.deepEqual(await statuses(1, { path: "/loginx", ...free }), [200]);
	assert.deepEqual(await statuses(1, { path: "/login", headers: { "x-plan": "paid" } }), [200]);
});

test("each value of a header has a count of its own, and leaving it out is no way around", async () => {
	await limit("each", [{ requests: 2, unit: "HOUR", per: [{ header: "x-user" }] }]);
	const of = (user: string) => ({ headers: { "x-user": user } });
	assert.deepEqual(
		[await statuses(3, of("a")), await statuses(3, of("b"))],
		[
			[200, 200, 429],
			[200, 200, 429],
		],
	);
	assert.deepEqual(await statuses(3), [200, 200, 429]);
	assert.deepEqual(await statuses(1, of("c")), [200]);
});

test("by the client's address, as the last proxy saw it", async () => {
	await limit("client", [{ requests: 1, unit: "HOUR", match: { paths: [{ prefix: "/" }] }, per: [{ clientAddress: true }] }]);
	const from = (client: string) => ({ headers: { "x-forwarded-for": client } });
	assert.deepEqual(
		[await statuses(2, from("203.0.113.1")), await statuses(2, from("203.0.113.2"))],
		[
			[200, 429],
			[200, 429],
		],
	);
});

test("of several limits, the one that is used up first decides; what is refused by authorization uses up nothing", async () => {
	await limit("two", [
		{ requests: 4, unit: "HOUR" },
		{ requests: 1, unit: "HOUR", match: { paths: [{ exact: "/dear" }] } },
	]);
	await apply("security.istio.io/v1", "AuthorizationPolicy", "never", { action: "DENY", rules: [{ to: [{ operation: { paths: ["/never"] } }] }] });
	assert.deepEqual(await statuses(5, { path: "/never" }), [403, 403, 403, 403, 403]);
	assert.deepEqual(await statuses(2, { path: "/dear" }), [200, 429]);
	assert.deepEqual(await statuses(3), [200, 200, 429]);
});

test("a dry run counts and refuses nothing", async () => {
	await limit("tried", [{ requests: 1, unit: "HOUR" }], { "istio.io/dry-run": "true" });
	assert.deepEqual(await statuses(3), [200, 200, 200]);
	const stats = await adminText(podOf(mesh, "server-v1"), "/stats");
	assert.match(stats, /weft_rate_limit\.default\.tried\.0\.http_local_rate_limit\.rate_limited: 2/);
});

test("a limit that an EnvoyFilter adds, as Istio's task has it", async () => {
	const value = {
		stat_prefix: "http_local_rate_limiter",
		token_bucket: { max_tokens: 4, tokens_per_fill: 4, fill_interval: "600s" },
		filter_enabled: { runtime_key: "local_rate_limit_enabled", default_value: { numerator: 100, denominator: "HUNDRED" } },
		filter_enforced: { runtime_key: "local_rate_limit_enforced", default_value: { numerator: 100, denominator: "HUNDRED" } },
		response_headers_to_add: [{ append: false, header: { key: "x-local-rate-limit", value: "true" } }],
	};
	await apply("networking.istio.io/v1alpha3", "EnvoyFilter", "filter-local-ratelimit-svc", {
		workloadSelector: { labels: { app: "server" } },
		configPatches: [
			{
				applyTo: "HTTP_FILTER",
				match: { context: "SIDECAR_INBOUND", listener: { filterChain: { filter: { name: "envoy.filters.network.http_connection_manager" } } } },
				patch: {
					operation: "INSERT_BEFORE",
					value: {
						name: "envoy.filters.http.local_ratelimit",
						typed_config: {
							"@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
							type_url: "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
							value,
						},
					},
				},
			},
		],
	});
	assert.deepEqual(await statuses(5), [200, 200, 200, 200, 429]);
	assert.match((await stranger.get(address, "/")).text, /x-local-rate-limit: true/);
});
