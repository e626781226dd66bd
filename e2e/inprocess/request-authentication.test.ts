import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { stranger } from "./callers.ts";
import { service, workload } from "./mesh-yaml.ts";
import { boundAddress, podOf } from "./pods.ts";

// Tokens of two issuers: the keys of one are served over HTTP and fetched by the control plane, those of the other stand in the policy.

interface Key {
	readonly kid: string;
	readonly alg: "RS256" | "ES256";
	readonly privateKey: KeyObject;
	readonly publicKey: KeyObject;
}

const rsa = (kid: string): Key => ({ kid, alg: "RS256", ...generateKeyPairSync("rsa", { modulusLength: 2048 }) });
const ec = (kid: string): Key => ({ kid, alg: "ES256", ...generateKeyPairSync("ec", { namedCurve: "prime256v1" }) });
const jwksOf = (...keys: readonly Key[]) =>
	JSON.stringify({ keys: keys.map(({ kid, alg, publicKey }) => ({ ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" })) });

const encode = (value: object | Buffer) => (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))).toString("base64url");
const later = () => Math.floor(Date.now() / 1000) + 3600;

function token({ kid, alg, privateKey }: Key, claims: object, header: object = {}): string {
	const text = `${encode({ alg, kid, typ: "JWT", ...header })}.${encode({ exp: later(), ...claims })}`;
	return `${text}.${encode(sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }))}`;
}

const fetched = rsa("fetched-1");
const rotated = rsa("fetched-2");
const inline = ec("inline-1");
const unknown = rsa("fetched-1");

let mesh: TestMesh;
let issuer: Server;
let served = jwksOf(fetched);
let fetches = 0;
let url: string;
let address: string;

const first = () => ({ iss: url, sub: "alice", aud: "web" });
const second = { iss: "inline@issuer", sub: "bob", aud: ["app", "other"] };

before(async () => {
	issuer = createServer((request, response) => {
		fetches++;
		if (request.url === "/jwks") response.end(served);
		else response.writeHead(404).end();
	});
	await new Promise<void>((resolve) => issuer.listen(0, "127.0.0.1", resolve));
	url = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}`;
	mesh = await startTestMesh({ yaml: workload({ name: "server", app: "http-app.ts", ports: [8000] }) + service("server", [{ name: "http", port: 8000 }]) });
	address = await boundAddress(podOf(mesh, "server-v1"));
	await authenticate([
		{ issuer: url, jwksUri: `${url}/jwks`, audiences: ["web"] },
		{ issuer: second.iss, jwks: jwksOf(inline), audiences: ["app"] },
	]);
	await until(async () => (await status(token(fetched, first()))) === 200);
});

after(async () => {
	await mesh?.stop();
	issuer?.close();
	issuer?.closeAllConnections();
	closeConnections();
});

async function authenticate(jwtRules: readonly object[], name = "tokens"): Promise<void> {
	const spec = { selector: { matchLabels: { app: "server" } }, jwtRules };
	await mesh.applyYaml(JSON.stringify({ apiVersion: "security.istio.io/v1", kind: "RequestAuthentication", metadata: { name, namespace: "default" }, spec }));
}

async function require(rules: readonly object[], action = "ALLOW"): Promise<void> {
	const spec = { selector: { matchLabels: { app: "server" } }, action, rules };
	await mesh.applyYaml(
		JSON.stringify({ apiVersion: "security.istio.io/v1", kind: "AuthorizationPolicy", metadata: { name: "required", namespace: "default" }, spec }),
	);
}

const unrequire = () => mesh.client.remove("AuthorizationPolicy", "default", "required", true);

const withToken = (text: string, path = "/") => stranger.get(address, path, { headers: { authorization: `Bearer ${text}` } });
const status = async (text: string, path = "/") => (await withToken(text, path)).status;

/** Keys arrive when they have been fetched. */
async function until(isTrue: () => Promise<boolean>): Promise<void> {
	for (let i = 0; i < 200; i++) {
		if (await isTrue()) return;
		await sleep(50);
	}
	assert.fail("it did not come to that within 10 s");
}

test("a valid token of either issuer passes, and so does a request without one", async () => {
	assert.deepEqual([await status(token(fetched, first())), await status(token(inline, second))], [200, 200]);
	assert.equal((await stranger.get(address, "/")).status, 200);
});

test("sec/b21: tokens that prove nothing are refused", async () => {
	const hs256 = (secret: string | Buffer) => {
		const text = `${encode({ alg: "HS256", kid: fetched.kid, typ: "JWT" })}.${encode({ ...first(), exp: later() })}`;
		return `${text}.${encode(createHmac("sha256", secret).update(text).digest())}`;
	};
	const parts = token(fetched, first()).split(".");
	const wrong: Readonly<Record<string, string>> = {
		"no algorithm, no signature": `${encode({ alg: "none" })}.${encode({ ...first(), exp: later() })}.`,
		"no algorithm, a good signature": `${encode({ alg: "none", kid: fetched.kid })}.${parts[1]}.${parts[2]}`,
		"HMAC with the public key as PEM": hs256(fetched.publicKey.export({ type: "spki", format: "pem" })),
		"HMAC with the public key as DER": hs256(fetched.publicKey.export({ type: "spki", format: "der" })),
		"HMAC with the key set": hs256(served),
		"somebody else's key under a known name": token(unknown, first()),
		"the other issuer's key": token(inline, first()),
		"the other issuer's name": token(fetched, second),
		"a key that is named by a path": token(unknown, first(), { kid: "../../../../dev/null" }),
		"a key that the token brings along": token(unknown, first(), { kid: undefined, jwk: unknown.publicKey.export({ format: "jwk" }) }),
		"an algorithm that is not the key's": token(fetched, first(), { alg: "RS512" }),
		"an issuer that nobody knows": token(fetched, { ...first(), iss: "else" }),
		"another claim, the old signature": `${parts[0]}.${encode({ ...first(), sub: "admin", exp: later() })}.${parts[2]}`,
		expired: token(fetched, { ...first(), exp: later() - 7200 }),
		"not yet valid": token(fetched, { ...first(), nbf: later() }),
		"no token at all": "a.b.c",
	};
	const passed = await Promise.all(Object.entries(wrong).map(async ([name, text]) => [name, await status(text)] as const));
	assert.deepEqual(
		passed.filter(([, code]) => code !== 401),
		[],
	);
	assert.equal(await status(token(fetched, { ...first(), aud: "app" })), 403);
	assert.equal(await status(token(inline, { ...second, aud: [] })), 403);
});

test("claims decide: principals, audiences, lists, nested ones", async () => {
	await require([
		{ from: [{ source: { requestPrincipals: [`${url}/alice`] } }], to: [{ operation: { paths: ["/principal"] } }] },
		{ to: [{ operation: { paths: ["/groups"] } }], when: [{ key: "request.auth.claims[groups]", values: ["dev*"] }] },
		{ to: [{ operation: { paths: ["/nested"] } }], when: [{ key: "request.auth.claims[realm][role]", values: ["admin"] }] },
		{ to: [{ operation: { paths: ["/audience"] } }], when: [{ key: "request.auth.audiences", values: ["other"] }] },
		{ from: [{ source: { requestPrincipals: ["*"] } }], to: [{ operation: { paths: ["/any"] } }] },
	]);
	const rich = token(fetched, { ...first(), groups: ["ops", "devs"], realm: { role: "admin" } });
	const poor = token(inline, second);
	const paths = ["/principal", "/groups", "/nested", "/audience", "/any"];
	const all = async (text: string) => Promise.all(paths.map((path) => status(text, path)));
	assert.deepEqual(await all(rich), [200, 200, 200, 403, 200]);
	assert.deepEqual(await all(poor), [403, 403, 403, 200, 200]);
	assert.equal((await stranger.get(address, "/any")).status, 403);
	await unrequire();
});

test("a path that needs a token, as the task has it: DENY what has no request principal", async () => {
	await require([{ from: [{ source: { notRequestPrincipals: ["*"] } }], to: [{ operation: { paths: ["/headers"] } }] }], "DENY");
	assert.deepEqual([(await stranger.get(address, "/headers")).status, (await stranger.get(address, "/ip")).status], [403, 200]);
	assert.equal(await status(token(inline, second), "/headers"), 200);
	await unrequire();
});

test("the token is taken off unless it is to be forwarded; claims and payload go into headers, and nobody else can set them", async () => {
	const rule = { issuer: second.iss, jwks: jwksOf(inline), outputPayloadToHeader: "x-payload", outputClaimToHeaders: [{ header: "x-sub", claim: "sub" }] };
	await authenticate([rule]);
	const text = token(inline, second);
	const seen = (reply: { readonly text: string }) =>
		(JSON.parse(reply.text.slice(reply.text.indexOf("{"), reply.text.lastIndexOf("}") + 1)) as { headers: Record<string, string> }).headers;
	const headers = seen(await withToken(text));
	assert.equal(headers["authorization"], undefined);
	assert.equal(headers["x-sub"], "bob");
	assert.equal((JSON.parse(Buffer.from(headers["x-payload"] ?? "", "base64url").toString()) as { sub: string }).sub, "bob");
	const forged = seen(await stranger.get(address, "/", { headers: { "x-sub": "admin", "x-payload": "e30" } }));
	assert.deepEqual([forged["x-sub"], forged["x-payload"]], [undefined, undefined]);
	await authenticate([{ ...rule, forwardOriginalToken: true }]);
	assert.equal(seen(await withToken(text))["authorization"], `Bearer ${text}`);
});

test("tokens in a header, a parameter and a cookie of the policy's choice; what is not chosen is not looked at", async () => {
	const rule = { issuer: second.iss, jwks: jwksOf(inline) };
	const text = token(inline, second);
	await authenticate([{ ...rule, fromHeaders: [{ name: "x-jwt", prefix: "Token " }], fromParams: ["access"], fromCookies: ["session"] }]);
	await require([{ from: [{ source: { requestPrincipals: ["*"] } }] }]);
	const get = async (path: string, headers: Record<string, string> = {}) => (await stranger.get(address, path, { headers })).status;
	assert.deepEqual(
		[
			await get("/", { "x-jwt": `Token ${text}` }),
			await get(`/?access=${text}`),
			await get("/", { cookie: `a=b; session=${text}` }),
			await get("/", { authorization: `Bearer ${text}` }),
			await get(`/?other=${text}`),
		],
		[200, 200, 200, 403, 403],
	);
	await unrequire();
});

test("sec/b20: keys that cannot be had let nobody in, and new keys replace old ones", async () => {
	await authenticate([{ issuer: url, jwksUri: `${url}/nothing`, audiences: ["web"] }]);
	const before = fetches;
	await until(async () => fetches > before);
	assert.deepEqual([await status(token(fetched, first())), await status(token(unknown, first()))], [401, 401]);
	served = jwksOf(rotated);
	await authenticate([{ issuer: url, jwksUri: `${url}/jwks`, audiences: ["web"] }]);
	await until(async () => (await status(token(rotated, first()))) === 200);
	assert.equal(await status(token(fetched, first())), 401);
});
