import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { findEnvoy } from "../../scripts/peers-find.mjs";
import { stranger } from "./callers.ts";
import { service, workload } from "./mesh-yaml.ts";
import { adminText, boundAddress, podOf, podsOf } from "./pods.ts";

// Limits by the hour, so that nothing is refilled while a test runs.

let mesh: TestMesh;
let address: string;
/** Of both pods of the server. */
let addresses: readonly string[];
const envoy = process.env["WEFT_ENVOY"] ?? findEnvoy();
const hourly = (requests: number) => ({ unit: "hour", requests_per_unit: requests });
/** What the rate limit service of the examples keeps: a domain a test, since its counts stay. */
const rateLimits = [
	{
		domain: "users",
		descriptors: [
			{ key: "user", rate_limit: hourly(3) },
			{ key: "user", value: "dear", rate_limit: hourly(1) },
		],
	},
	{ domain: "paths", descriptors: [{ key: "login", value: "yes", descriptors: [{ key: "remote_address", rate_limit: hourly(2) }] }] },
	{ domain: "foreign", descriptors: [{ key: "user", rate_limit: hourly(2) }] },
	{ domain: "both", descriptors: [{ key: "all", value: "yes", rate_limit: hourly(100) }] },
];
const applied = new Set<string>();

before(async () => {
	const limiter = workload({
		name: "limiter",
		app: "../../../examples/apps/src/main.ts rate-limit",
		ports: [8081],
		env: { RATE_LIMITS: JSON.stringify(rateLimits) },
	});
	const foreign = workload({ name: "foreign", app: "http-app.ts", ports: [8000] }).replace('"annotations":{', '"annotations":{"weft.dev/proxy":"envoy",');
	mesh = await startTestMesh({
		envoy: envoy ?? "",
		yaml:
			workload({ name: "server", app: "http-app.ts", ports: [8000], replicas: 2 }) +
			service("server", [{ name: "http", port: 8000 }]) +
			limiter +
			service("limiter", [{ name: "grpc", port: 8081 }]) +
			(envoy === undefined ? "" : foreign + service("foreign", [{ name: "http", port: 8000 }])),
	});
	addresses = await Promise.all(podsOf(mesh, "server-v1").map(boundAddress));
	[address = ""] = addresses;
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

const global = (name: string, app: string, fields: object) =>
	apply("weft.dev/v1alpha1", "RateLimit", name, { selector: { matchLabels: { app } }, global: { host: "limiter", port: 8081, ...patient, ...fields } });
/** A machine under load makes connections slowly, and an open policy would let pass meanwhile. */
const patient = { timeout: "5s" };
const byUser = [{ entries: [{ key: "user", header: "x-user" }] }];
const statusAt = async (at: string, path: string, headers: Readonly<Record<string, string>>) => (await stranger.get(at, path, { headers })).status;

test("global: all pods together let so many through, each user by himself; without a descriptor nothing is asked", async () => {
	await global("users", "server", { domain: "users", descriptors: byUser });
	const [first = "", second = ""] = addresses;
	const of = (user: string) => ({ "x-user": user });
	assert.deepEqual([await statusAt(first, "/", of("a")), await statusAt(second, "/", of("a")), await statusAt(first, "/", of("a"))], [200, 200, 200]);
	assert.deepEqual([await statusAt(second, "/", of("a")), await statusAt(first, "/", of("a")), await statusAt(first, "/", of("b"))], [429, 429, 200]);
	assert.deepEqual([await statusAt(first, "/", of("dear")), await statusAt(second, "/", of("dear"))], [200, 429]);
	assert.match((await stranger.get(first, "/", { headers: of("a") })).text, /x-ratelimit-limit: 3[^]*x-envoy-ratelimited: true/);
	assert.deepEqual(await statuses(5), [200, 200, 200, 200, 200]);
});

test("global: an entry for some requests alone, and the client's address", async () => {
	const entries = [{ key: "login", value: "yes", match: { paths: [{ prefix: "/login" }], methods: ["GET"] } }, { clientAddress: true }];
	await global("paths", "server", { domain: "paths", descriptors: [{ entries }] });
	const from = (client: string) => ({ "x-forwarded-for": client });
	const ask = (path: string, client: string) => statusAt(address, path, from(client));
	assert.deepEqual([await ask("/login", "203.0.113.1"), await ask("/login?x", "203.0.113.1"), await ask("/login", "203.0.113.1")], [200, 200, 429]);
	assert.deepEqual([await ask("/login", "203.0.113.2"), await ask("/other", "203.0.113.1")], [200, 200]);
});

test("global: a service that does not answer lets pass, or refuses, as the policy says", async () => {
	const gone = { host: "nobody.default.svc.cluster.local", port: 8081, domain: "users", descriptors: byUser };
	const headers = { headers: { "x-user": "z" } };
	await global("gone", "server", gone);
	assert.deepEqual(await statuses(2, headers), [200, 200]);
	await global("gone", "server", { ...gone, failureMode: "CLOSED" });
	assert.deepEqual(await statuses(2, headers), [500, 500]);
	assert.deepEqual(await statuses(1), [200]);
});

test("global beside limits of the proxy itself: those come first, and what they refuse costs the service nothing", async () => {
	const descriptors = [{ entries: [{ key: "all", value: "yes" }] }];
	const spec = {
		selector: { matchLabels: { app: "server" } },
		limits: [{ requests: 1, unit: "HOUR" }],
		global: { host: "limiter", port: 8081, domain: "both", descriptors },
	};
	await apply("weft.dev/v1alpha1", "RateLimit", "both", spec);
	const got: number[] = [];
	for (let i = 0; i < 3; i++) got.push(await statusAt(address, "/", {}));
	assert.deepEqual(got, [200, 429, 429]);
	// One before, and this one.
	const { limits: _, ...alone } = spec;
	await apply("weft.dev/v1alpha1", "RateLimit", "both", alone);
	assert.match((await stranger.get(address, "/")).text, /x-ratelimit-remaining: 98/);
});

test("global: a real Envoy asks the same", { skip: envoy === undefined ? "no Envoy here: npm run peers" : false }, async () => {
	const foreign = await boundAddress(podOf(mesh, "foreign-v1"));
	await global("foreign", "foreign", { domain: "foreign", descriptors: byUser });
	const ask = () => statusAt(foreign, "/", { "x-user": "e" });
	assert.deepEqual([await ask(), await ask(), await ask()], [200, 200, 429]);
	assert.equal(await statusAt(foreign, "/", {}), 200);
});
