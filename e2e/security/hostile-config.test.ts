import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { promisify } from "node:util";
import { decodeYaml } from "@weft/galley";
import { Struct } from "@weft/xds/generated/google/protobuf/struct.ts";
import { loadBootstrap } from "../../packages/proxy/src/config/bootstrap/load.ts";
import { decodeExtensionConfig, registerImplemented } from "../../packages/proxy/src/config/decode/index.ts";
import { parseJwks } from "../../packages/proxy/src/data/filters/jwt/jwks.ts";
import { parseJwt } from "../../packages/proxy/src/data/filters/jwt/jwt.ts";
import { compileCel } from "../../packages/proxy/src/data/cel/cel.ts";
import { createCompileContext } from "../../packages/proxy/src/data/match/compile-context.ts";
import { compileRegex } from "../../packages/proxy/src/data/match/regex.ts";

// What tenants can put into configuration and tokens: nested without end, or named as objects' own parts are.
const depths = [1_000, 100_000] as const;
const environment = { readFile: () => Buffer.alloc(0), variable: () => undefined };

function varint(value: number): Buffer {
	const bytes: number[] = [];
	let rest = value;
	for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
	return Buffer.from([...bytes, rest]);
}

const message = (field: number, ...parts: readonly Buffer[]): Buffer => {
	const payload = Buffer.concat(parts);
	return Buffer.concat([varint((field << 3) | 2), varint(payload.length), payload]);
};

/** The same fields within each other, the outermost first. */
function nested(fields: readonly number[], depth: number, core: Buffer): Buffer {
	const heads: Buffer[] = [];
	let { length } = core;
	for (let i = 0; i < depth; i++) {
		for (const field of fields.toReversed()) {
			const head = Buffer.concat([varint((field << 3) | 2), varint(length)]);
			heads.push(head);
			length += head.length;
		}
	}
	return Buffer.concat([...heads.reverse(), core]);
}

/** A filter `rbac` whose one permission is `and_rules` within `and_rules`. */
function rbacOf(depth: number) {
	const any = Buffer.from([0x18, 1]);
	const policy = message(2, message(1, Buffer.from("p")), message(2, message(1, nested([1, 1], depth, any)), message(2, any)));
	const typeUrl = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
	return { name: "rbac", typedConfig: { typeUrl, value: message(1, policy) } };
}

const base64 = (text: string): string => Buffer.from(text).toString("base64url");
const lists = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
const pollution = '{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}';

function assertUnpolluted(): void {
	assert.equal((Object.prototype as { polluted?: unknown }).polluted, undefined);
	assert.equal(({} as { polluted?: unknown }).polluted, undefined);
}

const virtualService = (route: object) => ({
	apiVersion: "networking.istio.io/v1",
	kind: "VirtualService",
	metadata: { name: "a", namespace: "default" },
	spec: { hosts: ["a.example"], http: [{ route: [{ destination: { host: "a" } }], ...route }] },
});
const httpRoute = (match: object) => ({
	apiVersion: "gateway.networking.k8s.io/v1",
	kind: "HTTPRoute",
	metadata: { name: "a", namespace: "default" },
	spec: { parentRefs: [{ name: "g" }], rules: [{ matches: [match], backendRefs: [{ name: "a", port: 80 }] }] },
});

before(registerImplemented);

describe("sec/e46: expressions that are made to be slow", () => {
	const slow = ["(a+)+$", "(a|aa)+$", "(a*)*b", "(.*a){20}b", "(([a-z])+.)+[A-Z]([a-z])+$", "(a+a+)+b", "(a|a?)+$", "^(?:a?){50}a{50}$", "\\pL*\\pL*\\pL*b"];
	const value = `${"a".repeat(10_000)}!`;

	// An engine that backtracks would not come back from any of these.
	for (const pattern of slow) {
		test(`sec/e46: ${pattern} decides in one pass over a value`, () => {
			const compiled = compileRegex(pattern);
			assert.ok(compiled.kind === "regex");
			assert.equal(compiled.matches(value), false);
			assert.ok(compiled.substitution("x")(value).includes("!"));
			const context = createCompileContext();
			compileCel(`request.path.matches(${JSON.stringify(pattern)})`, context);
			assert.deepEqual(context.errors, []);
		});
	}

	test("sec/e46: a proxy compiles none of a megabyte, and nothing that only backtracking can do", () => {
		for (const pattern of [
			"a".repeat(1 << 20),
			"[a-z]".repeat(1 << 18),
			"(?=a)a",
			"(?<!a)b",
			"(a)\\1",
			"((a{100}){100}){100}",
			`${"(".repeat(5_000)}${")".repeat(5_000)}`,
		])
			assert.equal(compileRegex(pattern).kind, "error", pattern.slice(0, 20));
	});

	const fields: Readonly<Record<string, (pattern: string) => object>> = {
		"a path": (regex) => virtualService({ match: [{ uri: { regex } }] }),
		"a header": (regex) => virtualService({ match: [{ headers: { a: { regex } } }] }),
		"a header that is not to be there": (regex) => virtualService({ match: [{ withoutHeaders: { a: { regex } } }] }),
		"a query parameter": (regex) => virtualService({ match: [{ queryParams: { a: { regex } } }] }),
		"an origin": (regex) => virtualService({ corsPolicy: { allowOrigins: [{ regex }] } }),
		"a rewrite": (match) => virtualService({ rewrite: { uriRegexRewrite: { match, rewrite: "/" } } }),
		"the version of a proxy": (proxyVersion) => ({
			apiVersion: "networking.istio.io/v1alpha3",
			kind: "EnvoyFilter",
			metadata: { name: "a", namespace: "default" },
			spec: { configPatches: [{ applyTo: "CLUSTER", match: { proxy: { proxyVersion } }, patch: { operation: "REMOVE" } }] },
		}),
		"a path of the Gateway API": (text) => httpRoute({ path: { type: "RegularExpression", value: text } }),
		"a header of the Gateway API": (text) => httpRoute({ headers: [{ type: "RegularExpression", name: "a", value: text }] }),
	};
	for (const [what, objectOf] of Object.entries(fields)) {
		test(`sec/e46: ${what} takes no expression that is longer than Istio allows, or that RE2 does not know`, () => {
			const problems = (pattern: string) => decodeYaml(JSON.stringify(objectOf(pattern)), "a.yaml").diagnostics.filter(({ severity }) => severity === "error");
			assert.deepEqual(problems("/a.*"), []);
			for (const pattern of ["a".repeat(1_025), "a".repeat(1 << 20), "(?=a)a", "(a)\\1", "a{1001}"])
				assert.ok(problems(pattern).length > 0, pattern.slice(0, 20));
		});
	}
});

describe("sec/e48: nesting without end is refused, and harms nobody", () => {
	test("sec/e48: a few levels are no attack", () => {
		assert.deepEqual(decodeExtensionConfig(rbacOf(10), environment).errors, []);
	});
	for (const depth of depths) {
		test(`sec/e48: rules of an xDS resource, ${depth} deep`, () => {
			const { value, errors } = decodeExtensionConfig(rbacOf(depth), environment);
			assert.equal(value, undefined);
			assert.match(errors.join(), /recursion limit exceeded/);
		});
		test(`sec/e48: a Struct ${depth} deep`, () => {
			// Struct.fields, the entry's value, Value.struct_value.
			assert.throws(() => Struct.decode(nested([1, 2, 5], depth, Buffer.alloc(0))), /recursion limit exceeded/);
		});
		test(`sec/e48: key sets and tokens ${depth} deep`, () => {
			assert.equal(typeof parseJwks(lists(depth)), "string");
			assert.equal(typeof parseJwks(`{"keys": ${lists(depth)}}`), "string");
			assert.equal(typeof parseJwt(`${base64('{"alg":"RS256"}')}.${base64(lists(depth))}.AAAA`), "string");
		});
		test(`sec/e48: a bootstrap file ${depth} deep`, () => {
			for (const text of [`node: {metadata: {a: ${lists(depth)}}}`, `${"{a: ".repeat(depth)}1${"}".repeat(depth)}`]) {
				const { bootstrap, errors } = loadBootstrap([{ name: "envoy.yaml", text }], { strict: false });
				assert.equal(bootstrap, undefined);
				assert.match(errors.join("\n"), /^envoy\.yaml:\d/);
			}
		});
		test(`sec/e48: an expression ${depth} deep`, () => {
			for (const text of [
				"(".repeat(depth),
				"!".repeat(depth),
				`${"[".repeat(depth)}1`,
				"-(".repeat(depth),
				`a${".a".repeat(depth)}`,
				`1${"?1:1".repeat(depth)}`,
			]) {
				const context = createCompileContext();
				compileCel(text, context);
				assert.equal(context.errors.length, 1);
			}
		});
	}
});

describe("sec/e49: no name reaches the prototype of all objects", () => {
	test("sec/e49: a bootstrap's metadata, aliases and merge keys", () => {
		for (const text of [
			`node: {id: a, metadata: ${pollution}}`,
			`node: {id: a, metadata: {x: &x ${pollution}, y: {<<: *x}}}`,
			`__proto__: {polluted: true}\nnode: {id: a}`,
		]) {
			loadBootstrap(
				[
					{ name: "a", text },
					{ name: "b", text },
				],
				{ strict: false },
			);
			assertUnpolluted();
		}
	});
	test("sec/e49: a Struct of an xDS resource", () => {
		const value = message(5, message(1, message(1, Buffer.from("polluted")), message(2, Buffer.from([0x20, 1]))));
		for (const name of ["__proto__", "constructor", "prototype"]) {
			Struct.decode(message(1, message(1, Buffer.from(name)), message(2, value)));
			assertUnpolluted();
		}
	});
	test("sec/e49: claims of a token", () => {
		const token = parseJwt(`${base64('{"alg":"RS256"}')}.${base64(pollution)}.AAAA`);
		assert.equal(typeof token, "object");
		parseJwks(`{"keys": [${pollution}], "__proto__": {"polluted": true}}`);
		parseJwks(pollution);
		assertUnpolluted();
	});
});

test("sec/e50: fifty thousand keys that are made to collide are read like any others", async () => {
	// Each compared with each would be hours; as it is, it is seconds.
	const program = [join(import.meta.dirname, "colliding-keys.ts")];
	const { stdout } = await promisify(execFile)(process.execPath, program, { timeout: 240_000, killSignal: "SIGKILL" });
	assert.equal(stdout, "done");
});
