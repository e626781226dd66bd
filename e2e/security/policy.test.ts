import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { after, afterEach, before, describe, test } from "node:test";
import type { ManagerFields } from "./bootstrap.ts";
import { assertClean, exchange, type Fixture, get, startFixture, statusOf } from "./fixture.ts";

// Ways around a policy. The upstream behind it writes down what came: whatever was let through was judged as it was forwarded.

const type = (name: string) => `type.googleapis.com/envoy.extensions.filters.http.${name}`;

/** An HTTP connection manager with one RBAC policy for everybody. */
function guarded(action: "ALLOW" | "DENY", permission: object, fields: ManagerFields = {}): ManagerFields {
	const rules = { action, policies: { policy: { permissions: [permission], principals: [{ any: true }] } } };
	return {
		normalize_path: true,
		...fields,
		http_filters: [
			{ name: "envoy.filters.http.rbac", typed_config: { "@type": type("rbac.v3.RBAC"), rules } },
			{ name: "envoy.filters.http.router", typed_config: { "@type": type("router.v3.Router") } },
		],
	};
}

const path = (matcher: object) => ({ url_path: { path: matcher } });
const header = (name: string, matcher: object) => ({ header: { name, string_match: matcher } });
const admin = path({ prefix: "/admin" });

// MeshConfig's pathNormalization, as it becomes fields of the connection manager.
const modes = {
	none: { normalize_path: false },
	base: {},
	merge: { merge_slashes: true },
	decode: { merge_slashes: true, path_with_escaped_slashes_action: "UNESCAPE_AND_FORWARD" },
} as const;
type Mode = keyof typeof modes;

describe("sec/policy: no way around a policy", () => {
	let fixture: Fixture;
	before(async () => {
		fixture = await startFixture({
			listeners: {
				...Object.fromEntries(Object.entries(modes).map(([mode, fields]) => [mode, guarded("DENY", admin, fields)])),
				exact: guarded("DENY", path({ exact: "/a" })),
				lowercase: guarded("ALLOW", header("x-role", { safe_regex: { regex: "[a-z]+" } })),
				evil: guarded("DENY", header("x-role", { safe_regex: { regex: "evil.*" } })),
				unlike: guarded("DENY", { not_rule: header("x-role", { exact: "good" }) }),
				method: guarded("DENY", path({ exact: "/svc/Method" })),
			},
		});
	});
	after(() => fixture?.stop());
	afterEach(() => assertClean(fixture));

	const status = async (listener: string, bytes: string) => statusOf(await exchange(fixture.proxy.port(listener), bytes));

	// 403 where the path is /admin… as that mode reads it; else it goes on, and the upstream gets what was judged.
	const spellings: Readonly<Record<string, Readonly<Record<Mode, 200 | 403>>>> = {
		"/admin": { none: 403, base: 403, merge: 403, decode: 403 },
		"/admin/x?y=/..": { none: 403, base: 403, merge: 403, decode: 403 },
		"/ADMIN": { none: 200, base: 200, merge: 200, decode: 200 },
		"/%61dmin": { none: 200, base: 403, merge: 403, decode: 403 },
		"/x/../admin": { none: 200, base: 403, merge: 403, decode: 403 },
		"/./admin": { none: 200, base: 403, merge: 403, decode: 403 },
		"/x/%2e%2e/admin": { none: 200, base: 403, merge: 403, decode: 403 },
		"/%2E/%61%64min": { none: 200, base: 403, merge: 403, decode: 403 },
		"\\admin": { none: 200, base: 200, merge: 200, decode: 200 },
		"/x/..\\admin": { none: 200, base: 403, merge: 403, decode: 403 },
		"//admin": { none: 200, base: 200, merge: 403, decode: 403 },
		// Dots go first, then slashes: /x/admin.
		"/x//../admin": { none: 200, base: 200, merge: 200, decode: 200 },
		"///x/..//admin": { none: 200, base: 200, merge: 403, decode: 403 },
		"/x%2f..%2fadmin": { none: 200, base: 200, merge: 200, decode: 403 },
		"/%2Fadmin": { none: 200, base: 200, merge: 200, decode: 403 },
		"/x/..%5cadmin": { none: 200, base: 200, merge: 200, decode: 403 },
		"/a%2561dmin": { none: 200, base: 200, merge: 200, decode: 200 },
		"/adm%69n": { none: 200, base: 403, merge: 403, decode: 403 },
	};
	for (const mode of Object.keys(modes) as Mode[]) {
		test(`sec/b9: every spelling of a path is judged as it is forwarded (${mode})`, async () => {
			for (const [spelling, expected] of Object.entries(spellings)) {
				const got = await status(mode, get(spelling));
				// A target that does not begin with a slash is no path.
				const wanted = spelling.startsWith("/") ? [expected[mode]] : [400, 403];
				assert.ok(wanted.includes(got as 200), `${spelling}: ${got}, expected ${wanted.join(" or ")}`);
			}
		});

		test(`sec/b9: every escaped byte is judged as it is forwarded, and %00 is refused (${mode})`, async () => {
			for (let byte = 0; byte < 256; byte++) {
				const escape = `%${byte.toString(16).padStart(2, "0")}`;
				const letter = byte === 0x69 && mode !== "none";
				const got = await status(mode, get(`/adm${escape}n`));
				if (byte === 0 && mode !== "none") assert.equal(got, 400, escape);
				else if (letter) assert.equal(got, 403, escape);
				else assert.ok(got === 200 || got === 400 || got === 403, `${escape}: ${got}`);
				if (got === 200) assert.doesNotMatch(fixture.upstream.seen.at(-1)?.target ?? "", /^\/admin/, escape);
			}
		});
	}

	test("sec/b10: a fragment or a query does not make another path of it", async () => {
		for (const target of ["/a#x", "/a#", "/a#/../b", "/a?x#y"]) assert.ok([400, 403].includes((await status("exact", get(target))) as number), target);
		for (const target of ["/a?x", "/a?", "/a?x=/../b"]) assert.equal(await status("exact", get(target)), 403, target);
		assert.equal(fixture.upstream.seen.length, 0);
		assert.equal(await status("exact", get("/a%23x")), 200);
		assert.equal(fixture.upstream.seen[0]?.target, "/a%23x");
	});

	test("sec/b13: header bytes that are no UTF-8 are judged, and never open anything", async () => {
		for (let byte = 0x80; byte < 0x100; byte++) {
			const odd = String.fromCharCode(byte);
			const name = byte.toString(16);
			// Sent as they stand: one byte a character.
			assert.equal(await status("lowercase", get("/", `x-role: admin${odd}`)), 403, name);
			assert.equal(await status("evil", get("/", `x-role: evil${odd}`)), 403, name);
			assert.equal(await status("evil", get("/", `x-role: evil${odd}${odd}x`)), 403, name);
			assert.equal(await status("unlike", get("/", `x-role: good${odd}`)), 403, name);
		}
		assert.deepEqual(fixture.upstream.seen, []);
		assert.equal(await status("lowercase", get("/", "x-role: admin")), 200);
		assert.equal(await status("unlike", get("/", "x-role: good")), 200);
	});

	test("sec/b16: a path that does not begin with a slash is refused before any policy, over HTTP/1.1 and HTTP/2", async () => {
		for (const target of ["svc/Method", "*", "?x", "http:/svc/Method", "svc%2fMethod"]) {
			assert.equal(await status("method", `GET ${target} HTTP/1.1\r\nhost: a.test\r\n\r\n`), 400, target);
		}
		const session = connectHttp2(`http://127.0.0.1:${fixture.proxy.port("method")}`);
		session.on("error", () => undefined);
		// A refusal is a reset, a status, or gRPC's: 12 is UNIMPLEMENTED.
		const ask = (target: string) =>
			new Promise<string>((resolve) => {
				const stream = session.request({ ":method": "POST", ":path": target, "content-type": "application/grpc" });
				stream.on("response", (headers) => resolve(`${headers[":status"]} ${String(headers["grpc-status"] ?? "")}`.trim()));
				stream.on("error", () => resolve("reset"));
				stream.on("close", () => resolve("reset"));
				stream.resume();
				stream.end();
			});
		try {
			for (const target of ["svc/Method", "*", "?x", "svc"]) {
				const got = await ask(target);
				assert.ok(["400", "404", "reset", "200 12", "200 13"].includes(got), `${target}: ${got}`);
			}
			assert.deepEqual(fixture.upstream.seen, []);
		} finally {
			session.destroy();
		}
	});
});
