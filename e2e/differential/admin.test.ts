import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startMixedLoad, type MixedLoad } from "./mixed-load.ts";
import { type Proxy, skipReason as skip } from "./pair.ts";

interface Page {
	readonly status: number;
	/** Without parameters. */
	readonly type: string;
	readonly body: string;
}

async function ask(proxy: Proxy, path: string, method: string): Promise<Page> {
	const response = await proxy.askAdmin(path, method);
	const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
	return { status: response.status, type, body: (await response.text()).replace(/127\.0\.0\.1([:_])\d+/g, "127.0.0.1$1PORT") };
}

/** Paths of all values with their types: `list.name=number`. */
function shapeOf(value: unknown, path = ""): readonly string[] {
	if (Array.isArray(value)) return value.flatMap((item: unknown) => shapeOf(item, `${path}/*`));
	if (typeof value !== "object" || value === null) return [`${path}=${value === null ? "null" : typeof value}`];
	return Object.entries(value).flatMap(([key, child]) => shapeOf(child, `${path}/${key}`));
}

/** Of what was recorded since the last flush there is something or nothing, and a host is ejected or not, at any moment. */
const momentary = /\/intervals?(\/|=)|\/failed_outlier_check=/;
const jsonShape = ({ body }: Page): readonly string[] => [...new Set(shapeOf(JSON.parse(body)))].filter((path) => !momentary.test(path)).sort();
const linesOf = ({ body }: Page): readonly string[] => body.split("\n").filter((line) => line !== "");
/** What a line is about: without its value. */
const namesOf = (page: Page): readonly string[] => linesOf(page).map((line) => line.replace(/^( {2}\w+)=.*|(: |::)(?!.*(: |::)).*$/, "$1"));

/** JSON whose shape is the same. */
const sameShape = [
	"/stats?format=json&filter=cluster.up.upstream_cx_total",
	...["", "none", "summary", "detailed", "cumulative", "disjoint"].map(
		(mode) => `/stats?format=json&filter=^cluster.up.upstream_cx_connect_ms$&histogram_buckets=${mode}`,
	),
	"/stats?format=json&usedonly&filter=^cluster.closed.upstream_cx_connect_ms$",
	"/stats?format=json&filter=nothing_of_this_name",
	"/stats?format=json&type=Counters&filter=cluster.up.upstream_cx",
	"/listeners?format=json",
	"/config_dump?resource=static_clusters",
	"/config_dump?resource=static_clusters&mask=cluster.name",
	"/config_dump?resource=static_listeners&name_regex=pl.*",
	"/config_dump?resource=dynamic_listeners",
	"/config_dump?resource=static_route_configs",
	"/certs",
	"/runtime",
	"/init_dump",
	"/init_dump?mask=listener",
	"/memory",
];

const ownFeature = /^\/configs\/\*\/bootstrap\/node\/client_features\//;

/** JSON with what only one of the two has, and why. */
const otherShape: readonly (readonly [path: string, onlyEnvoy: RegExp, onlyWeft: RegExp, why: string])[] = [
	[
		"/clusters?format=json",
		/^$/,
		/\/(added_via_api|hostname|priority|locality\/\w+)=/,
		"fields with default values are shown too: readers need not know defaults",
	],
	["/server_info", /^\/(command_line_options|node)\/|hot_restart_initializing/, /^$/, "options and extensions of Envoy's own build"],
	["/config_dump", /^\/configs\/\*\/bootstrap\/node\//, ownFeature, "the extensions of Envoy's build, and that virtual hosts may come one by one"],
	[
		"/config_dump?include_eds",
		/^\/configs\/\*\/(bootstrap\/node\/|static_endpoint_configs\/\*\/endpoint_config\/)/,
		new RegExp(`${ownFeature.source}|^/configs/\\*/static_endpoint_configs/\\*/last_updated=`),
		"endpoints are shown as they were received, with the time of that; Envoy shows what it made of them",
	],
	[
		"/config_dump?mask=bootstrap",
		/^\/configs\/\*\/bootstrap\/node\//,
		ownFeature,
		"the extensions of Envoy's build, and that virtual hosts may come one by one",
	],
];

/** Text whose lines are about the same. */
const sameLines = [
	"/ready",
	"/listeners",
	"/clusters?filter=^up$",
	"/stats?filter=^cluster.up.upstream_cx_total$",
	"/stats?filter=^cluster.up.upstream_cx_total$&format=prometheus",
	"/stats?type=Histograms&filter=^cluster.up.upstream_cx_connect_ms$",
	"/stats?type=Gauges&filter=^cluster.up.membership",
	"/stats?type=TextReadouts&filter=cluster.up",
	"/stats/prometheus?filter=^cluster.up.upstream_cx_total$",
	"/stats/prometheus?usedonly&filter=^cluster.up.upstream_cx_(total|overflow)$",
	"/stats/prometheus?filter=^cluster.up.upstream_cx_connect_ms$",
	...["cumulative", "summary", "none"].map((mode) => `/stats/prometheus?filter=^cluster.up.upstream_cx_connect_ms$&histogram_buckets=${mode}`),
	...["cumulative", "disjoint", "detailed", "summary", "none"].map((mode) => `/stats?filter=^cluster.up.upstream_cx_connect_ms$&histogram_buckets=${mode}`),
];
/** Of outlier detection by success rate: shown where the cluster has it, from statistics here. */
const outlierLines = /::(outlier::|success_rate$|local_origin_success_rate$)/;

/** Requests whose status, and no more, is the same. */
const sameStatus = [
	...["/", "/help", "/contention", "/hot_restart_version", "/nothing", "/stats/prometheus/x", "/tap"],
	...[
		"/stats?type=Nonsense",
		"/stats?format=nonsense",
		"/stats?filter=(",
		"/stats?histogram_buckets=nonsense",
		"/stats?format=json&histogram_buckets=nonsense",
	],
	...["disjoint", "detailed", "nonsense"].map((mode) => `/stats/prometheus?histogram_buckets=${mode}`),
	...["/config_dump?resource=bootstrap", "/config_dump?resource=nonsense", "/config_dump?name_regex=(", "/config_dump?mask=nonsense"],
	...[
		"/logging",
		"/quitquitquit",
		"/reset_counters",
		"/drain_listeners",
		"/healthcheck/fail",
		"/cpuprofiler",
		"/heapprofiler",
		"/allocprofiler",
		"/runtime_modify",
	],
	...[
		"/stats",
		"/ready",
		"/config_dump",
		"/logging",
		"/logging?level=info",
		"/logging?level=nonsense",
		"/logging?nonsense=debug",
		"/logging?paths=http:debug,rbac:info",
		"/reset_counters",
	].map((path) => `POST ${path}`),
	...["/healthcheck/fail", "/healthcheck/ok", "/reopen_logs", "/runtime_modify", "/runtime_modify?a=b", "/heapprofiler?enable=y", "/nothing"].map(
		(path) => `POST ${path}`,
	),
	...["HEAD /stats?filter=zzz", "HEAD /ready"],
];

/** Requests that Envoy answers otherwise, and what they get here. */
const otherStatus: readonly (readonly [request: string, status: number, why: string])[] = [
	["PUT /stats", 405, "pages are read by GET, HEAD and POST"],
	["DELETE /stats", 405, "pages are read by GET, HEAD and POST"],
	["/stats?format=html", 400, "there is no page for browsers"],
	["/heap_dump", 501, "of Envoy's allocator"],
	["/peak_heap_dump", 501, "of Envoy's allocator"],
	["/memory/tcmalloc", 501, "of Envoy's allocator"],
	["/stats/recentlookups", 501, "statistics are not looked up by name"],
	["POST /stats/recentlookups/enable", 501, "statistics are not looked up by name"],
	["POST /cpuprofiler?enable=y", 501, "Node's own"],
	["POST /logging?paths=tap:debug", 400, "what has no logger here cannot have a level"],
];

describe("admin pages, beside a real Envoy's", { skip }, () => {
	let load: MixedLoad;
	before(async () => {
		load = await startMixedLoad();
	});
	after(() => load?.stop());

	const both = (request: string): Promise<readonly Page[]> => {
		const [method, path] = request.startsWith("/") ? ["GET", request] : (request.split(" ") as [string, string]);
		return Promise.all(load.proxies.map((proxy) => ask(proxy, path, method)));
	};

	for (const path of sameShape) {
		it(`${path}: the same shape`, async () => {
			const [envoy, weft] = (await both(path)) as [Page, Page];
			assert.deepEqual([weft.status, weft.type], [envoy.status, envoy.type]);
			assert.deepEqual(jsonShape(weft), jsonShape(envoy));
		});
	}

	for (const [path, onlyEnvoy, onlyWeft, why] of otherShape) {
		it(`${path}: the same shape, but that ${why}`, async () => {
			const [envoy, weft] = (await both(path)) as [Page, Page];
			assert.deepEqual([weft.status, weft.type], [envoy.status, envoy.type]);
			const [a, b] = [jsonShape(envoy), jsonShape(weft)];
			assert.ok(b.length > 5, b.join("\n"));
			assert.deepEqual(
				a.filter((one) => !b.includes(one) && !onlyEnvoy.test(one)),
				[],
			);
			assert.deepEqual(
				b.filter((one) => !a.includes(one) && !onlyWeft.test(one)),
				[],
			);
		});
	}

	for (const path of sameLines) {
		it(`${path}: the same lines`, async () => {
			const [envoy, weft] = (await both(path)) as [Page, Page];
			assert.deepEqual([weft.status, weft.type], [envoy.status, envoy.type]);
			const names = (page: Page) => namesOf(page).filter((name) => !outlierLines.test(name));
			assert.deepEqual(
				path.includes("prometheus") ? linesOf(weft).map(withoutValue) : names(weft),
				path.includes("prometheus") ? linesOf(envoy).map(withoutValue) : names(envoy),
			);
		});
	}

	for (const request of sameStatus) {
		it(`${request}: the same status`, async () => {
			const [envoy, weft] = (await both(request)) as [Page, Page];
			assert.equal(weft.status, envoy.status, weft.body.slice(0, 200));
		});
	}

	for (const [request, status, why] of otherStatus) {
		it(`${request}: ${status}, since ${why}`, async () => {
			const [envoy, weft] = (await both(request)) as [Page, Page];
			assert.notEqual(envoy.status, status);
			assert.equal(weft.status, status);
			assert.ok(weft.body.length > 10, weft.body);
		});
	}

	it("/reset_counters: counters are 0 afterwards", async () => {
		await both("POST /reset_counters");
		for (const { body } of await both("/stats?filter=^cluster.up.upstream_rq_total$")) assert.equal(body, "cluster.up.upstream_rq_total: 0\n");
	});

	it("/healthcheck/fail: not ready on its own port, and said by server_info", async () => {
		await both("POST /healthcheck/fail");
		const states = (await both("/server_info")).map(({ body }) => (JSON.parse(body) as { readonly state: string }).state);
		const ready = (await both("/ready")).map(({ status, body }) => `${status} ${body}`);
		await both("POST /healthcheck/ok");
		assert.equal(states[1], states[0]);
		assert.equal(ready[1], ready[0]);
	});

	it("/drain_listeners: no connection is taken any more", async () => {
		await both("POST /drain_listeners");
		for (const proxy of load.proxies) {
			await assert.rejects(() => fetch(`http://127.0.0.1:${proxy.port("plain")}/a`), proxy.name);
		}
	});
});

/** Of a line of Prometheus. */
const withoutValue = (line: string): string => (line.startsWith("#") ? line : line.slice(0, line.lastIndexOf(" ")));
