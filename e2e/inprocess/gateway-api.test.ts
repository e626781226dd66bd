import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";
import { service, workload } from "./mesh-yaml.ts";

// Routes of the Gateway API whose parent is a Service: the mesh's own use of it, shown by requests.

let mesh: TestMesh;

const route = (rules: string, spec = "") => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: default}
spec: {parentRefs: [{group: "", kind: Service, name: web, port: 8000}], rules: [${rules}]${spec}}
`;
const to = (name: string, weight = 1) => `{group: "", kind: Service, name: ${name}, port: 8000, weight: ${weight}}`;

interface Seen {
	readonly version: string;
	readonly pod: string;
	readonly path: string;
	readonly headers: Readonly<Record<string, string>>;
}

async function seen(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Seen> {
	const answer = await mesh.call("web", path, { headers });
	assert.equal(answer.status, 200, answer.body);
	return JSON.parse(answer.body) as Seen;
}

before(async () => {
	const port = { name: "http", port: 8000 };
	const yaml = [
		workload({ name: "web", version: "web", app: "http-app.ts", ports: [8000], replicas: 2 }),
		workload({ name: "canary", version: "canary", app: "http-app.ts", ports: [8000] }),
		service("web", [port]),
		service("canary", [port]),
	].join("---\n");
	mesh = await startTestMesh({ yaml });
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

test("weights, each from the first request after apply", async () => {
	await mesh.applyYaml(route(`{backendRefs: [${to("web", 90)}, ${to("canary", 10)}]}`));
	const { kinds, errors } = await load(() => mesh.call("web", "/"), {
		requests: 1000,
		concurrency: 8,
		classify: ({ body }) => (JSON.parse(body) as Seen).version,
	});
	assert.deepEqual(errors, []);
	assert.ok(Math.abs((kinds["canary"] ?? 0) - 100) < 45, JSON.stringify(kinds));
});

test("matches by precedence, whatever their order: exact before prefix, a longer prefix before a shorter, and prefixes of whole segments", async () => {
	const rule = (path: string, name: string, tag: string) =>
		`{matches: [{path: {${path}}}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-rule, value: ${tag}}]}}], backendRefs: [${to(name)}]}`;
	await mesh.applyYaml(
		route(
			[
				rule("value: /", "web", "root"),
				rule("value: /a", "canary", "a"),
				rule("value: /a/b", "web", "ab"),
				rule("type: Exact, value: /a/b", "canary", "exact"),
			].join(),
		),
	);
	const rules = await Promise.all(["/", "/a", "/a/x", "/ab", "/a/b", "/a/b/c"].map(async (path) => (await seen(path)).headers["x-rule"]));
	assert.deepEqual(rules, ["root", "a", "a", "root", "exact", "ab"]);
});

test("filters: headers, a prefix taken away, a redirect", async () => {
	await mesh.applyYaml(
		route(
			`{matches: [{path: {value: /v1.0}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}, {type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-secret]}}], backendRefs: [${to("web")}]},` +
				`{matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, requestRedirect: {hostname: new.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}, statusCode: 301}}]}`,
		),
	);
	assert.deepEqual(await Promise.all(["/v1.0", "/v1.0/x?q=1"].map(async (path) => (await seen(path)).path)), ["/", "/x?q=1"]);
	assert.equal((await seen("/v1.0/x", { "x-secret": "s" })).headers["x-secret"], undefined);
	const redirect = await mesh.call("web", "/old/page");
	assert.deepEqual([redirect.status, redirect.headers["location"]], [301, "http://new.example.com:8000/new/page"]);
});

test("sessionPersistence brings a client back to the pod that served it, by a cookie or by a header", async () => {
	const podsOf = async (headers: Readonly<Record<string, string>>) => {
		const pods = new Set<string>();
		for (let i = 0; i < 40; i++) pods.add((await seen("/shop/basket", headers)).pod);
		return pods;
	};
	const rule = (session: string) =>
		route(`{matches: [{path: {value: /shop}}], backendRefs: [${to("web")}], sessionPersistence: ${session}}, {backendRefs: [${to("web")}]}`);
	await mesh.applyYaml(rule("{sessionName: basket, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}"));
	// The listener has a filter more: connections of before go on without it until they are drained.
	closeConnections();
	const first = await mesh.call("web", "/shop");
	const cookie = String(first.headers["set-cookie"]);
	assert.match(cookie, /^basket="[^"]+"; Max-Age=3600; Path=\/shop; HttpOnly$/);
	assert.deepEqual([...(await podsOf({ cookie: cookie.split(";", 1)[0] ?? "" }))], [(JSON.parse(first.body) as Seen).pod]);
	assert.equal((await podsOf({})).size, 2, "without the cookie requests are balanced");
	assert.equal((await mesh.call("web", "/elsewhere")).headers["set-cookie"], undefined);
	await mesh.applyYaml(rule("{type: Header, sessionName: x-basket}"));
	const second = await mesh.call("web", "/shop");
	const token = String(second.headers["x-basket"]);
	assert.deepEqual([...(await podsOf({ "x-basket": token }))], [(JSON.parse(second.body) as Seen).pod]);
	await mesh.applyYaml(route(`{backendRefs: [${to("web")}]}`));
	assert.equal((await podsOf({ "x-basket": token })).size, 2, "nothing is left of it");
});

test("a backend that is not there answers 500, and the route's status says why", async () => {
	await mesh.applyYaml(route(`{backendRefs: [${to("gone")}]}`));
	assert.equal((await mesh.call("web", "/")).status, 500);
	const [stored] = (await mesh.client.get("config/HTTPRoute/default/r")) as readonly {
		readonly status: { readonly parents: readonly { readonly conditions: readonly object[] }[] };
	}[];
	const conditions = stored?.status.parents[0]?.conditions as readonly { readonly type: string; readonly status: string; readonly reason: string }[];
	assert.deepEqual(
		conditions.map(({ type, status, reason }) => [type, status, reason]),
		[
			["Accepted", "True", "Accepted"],
			["ResolvedRefs", "False", "BackendNotFound"],
		],
	);
});

test("a route that is not well-formed is refused with its line, and the last good one stays", async () => {
	await mesh.applyYaml(route(`{backendRefs: [${to("canary")}]}`));
	const refused = await mesh.client.apply([{ file: "bad.yaml", text: route(`{backendRefs: [{name: web}]}`) }], {
		wait: true,
		dryRun: false,
		timeoutMs: 10_000,
	});
	assert.deepEqual(
		refused.diagnostics.map(({ severity, file, line, path, message }) => [severity, file, line, path, message]),
		[["error", "bad.yaml", 5, "spec.rules[0].backendRefs[0].port", "the port of the Service must be given"]],
	);
	assert.equal((await seen("/")).version, "canary");
});
