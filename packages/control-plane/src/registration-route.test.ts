import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { request } from "node:https";
import { after, before, describe, test } from "node:test";
import {
	type CertificateAuthority,
	createCertificateAuthority,
	createClientCertificateAuthenticator,
	createLocalTokenAuthenticator,
	createMemoryKeyStore,
	createServerIdentity,
	issueKeyedLeaf,
	issueLocalToken,
	type KeyedLeaf,
} from "@weft/citadel";
import { createStore, decodeYaml, type Store } from "@weft/galley";
import { until } from "@weft/kube/testing";
import { createRegistrations, createStoreEntries, type WorkloadEntries } from "@weft/pilot";
import { createLogger, systemClock } from "@weft/runtime";
import { type HttpsRoute, startHttpsServer } from "./https-server.ts";
import { registrationRoute } from "./registration-route.ts";
import { createTrustedRoots } from "./trusted-roots.ts";

// The endpoint as machines reach it: TLS, an authority, certificates and tokens.
const logger = createLogger({ level: "none" });
const clock = systemClock;
const key = randomBytes(32);
const stopping = new AbortController();
let isAway = false;
/** What reads wait for, and how many do. */
let holding: Promise<void> | undefined;
let reads = 0;
let store: Store;
let authority: CertificateAuthority;
let address: string;
let closed: Promise<void>;

function flaky(entries: WorkloadEntries): WorkloadEntries {
	return {
		...entries,
		async read(ref) {
			if (holding) reads++;
			await holding;
			return isAway ? Promise.reject(new Error("away")) : entries.read(ref);
		},
	};
}

before(async () => {
	store = createStore();
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: reviews, namespace: shop}\nspec: {selector: {app: reviews}, ports: [{port: 80}]}\n";
	store.apply({ source: "test", upsert: decodeYaml(service, "f.yaml").objects, remove: [] });
	authority = await createCertificateAuthority({ store: createMemoryKeyStore(), clock, logger, rootKeyAlgorithm: "ecdsa-p256" });
	const identity = await createServerIdentity({ authority, clock, random: Math.random, logger });
	const { trustDomain } = authority;
	const authenticators = [createClientCertificateAuthenticator({ clock, trustDomain }), createLocalTokenAuthenticator({ key, clock, trustDomain })];
	const registrations = createRegistrations({ entries: flaky(createStoreEntries(store)), snapshot: () => store.snapshot(), clock, logger, instancesMax: 3 });
	const route = registrationRoute({ registrations, authenticators, allowsLoopback: false, logger });
	const roots = createTrustedRoots(authority);
	const other: HttpsRoute = { path: "/other", handle: async () => ({ status: 200, body: "{}" }) };
	({ address, closed } = await startHttpsServer({
		address: "127.0.0.1:0",
		identity,
		roots,
		routes: [route, other],
		waitingFor: () => [],
		logger,
		signal: stopping.signal,
	}));
});

after(async () => {
	stopping.abort();
	await closed;
});

interface Call {
	readonly method?: string;
	readonly path?: string;
	readonly body?: unknown;
	readonly token?: string | undefined;
	readonly leaf?: KeyedLeaf;
	readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

const tokenOf = (sa = "web", ns = "shop", exp = Math.floor(Date.now() / 1000) + 60) => issueLocalToken(key, { ns, sa, pod: "", exp });
const instance = { service: "reviews", address: "10.0.0.9" };
const base = "/registration/v1/namespaces/shop/instances";

function call({ method = "PUT", path = `${base}/r1`, body = instance, headers = {}, leaf, ...rest }: Call): Promise<string> {
	const bearer = "token" in rest ? rest.token : leaf === undefined ? tokenOf() : undefined;
	const [host, port] = address.split(":");
	const options = {
		host,
		port,
		method,
		path,
		ca: authority.trustBundlePem,
		servername: "istiod.istio-system.svc",
		agent: false,
		headers: { ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }), ...headers },
		...(leaf && { cert: leaf.chainPem.join(""), key: leaf.privateKeyPem }),
	};
	return new Promise((resolve, reject) => {
		const sent = request(options, (response) => {
			let text = "";
			response.on("data", (chunk: Buffer) => void (text += chunk.toString()));
			response.on("end", () => resolve(`${response.statusCode} ${text.trim()}`));
		});
		sent.on("error", reject);
		sent.end(method === "DELETE" ? undefined : typeof body === "string" ? body : JSON.stringify(body));
	});
}

async function leafOf(serviceAccount: string, issuer = authority): Promise<KeyedLeaf> {
	const leaf = await issueKeyedLeaf(issuer, { identity: { trustDomain: "cluster.local", namespace: "shop", serviceAccount }, ttlMs: 60_000 });
	assert.ok(leaf.ok);
	return leaf.value;
}

const names = () =>
	store
		.snapshot()
		.all("WorkloadEntry")
		.map(({ metadata }) => metadata.name);

test("an instance is registered, renewed and deregistered by a token", async () => {
	assert.equal(await call({}), '201 {"namespace":"shop","name":"r1","ttl":"30s"}');
	assert.equal(await call({ body: { ...instance, ttl: "1m" } }), '200 {"namespace":"shop","name":"r1","ttl":"60s"}');
	assert.deepEqual(names(), ["r1"]);
	assert.equal(await call({ method: "DELETE" }), "200 {}");
	assert.deepEqual(names(), []);
});

test("POST finds a name", async () => {
	assert.equal(await call({ method: "POST", path: base }), '201 {"namespace":"shop","name":"reviews-10.0.0.9","ttl":"30s"}');
	assert.equal(await call({ method: "DELETE", path: `${base}/reviews-10.0.0.9` }), "200 {}");
});

test("a client certificate of the mesh stands for its identity", async () => {
	assert.match(await call({ leaf: await leafOf("web") }), /^201 /);
	assert.match(await call({ leaf: await leafOf("other") }), /^403 instance shop\/r1 is spiffe:\/\/cluster.local\/ns\/shop\/sa\/web's/);
	assert.match(await call({ method: "DELETE", leaf: await leafOf("web") }), /^200 /);
});

describe("nothing is registered", () => {
	const cases: readonly (readonly [string, () => Promise<Call> | Call, RegExp])[] = [
		["without credentials", () => ({ token: undefined }), /^401 /],
		["with a forged token", () => ({ token: `${tokenOf().slice(0, -4)}AAAA` }), /^401 /],
		["with an expired token", () => ({ token: tokenOf("web", "shop", 1) }), /^401 /],
		["with two tokens", () => ({ token: undefined, headers: { authorization: [`Bearer ${tokenOf()}`, `Bearer ${tokenOf()}`] } }), /^(401|400) /],
		[
			"with a certificate of another authority",
			async () => {
				const other = await createCertificateAuthority({ store: createMemoryKeyStore(), clock, logger, rootKeyAlgorithm: "ecdsa-p256" });
				return { leaf: await leafOf("web", other) };
			},
			/^401 /,
		],
		["for another namespace", () => ({ token: tokenOf("web", "evil") }), /^403 a workload of namespace evil/],
		["for another service account", () => ({ body: { ...instance, serviceAccount: "admin" } }), /^403 /],
		["with a body that is no JSON", () => ({ body: "{" }), /^422 the body is no JSON/],
		["under two names", () => ({ body: { ...instance, name: "r2" } }), /^422 name: the path says r1/],
		["by another method", () => ({ method: "PATCH" }), /^405 register with POST/],
		["under no path of its own", () => ({ path: "/registration/v1/shop" }), /^404 registrations are at \/registration\/v1\/namespaces/],
		["under a name that is no text", () => ({ path: `${base}/%zz` }), /^422 name/],
		["deregistering what is not there", () => ({ method: "DELETE" }), /^404 there is no instance shop\/r1/],
	];
	for (const [what, make, answer] of cases) {
		test(what, async () => {
			assert.match(await call(await make()), answer);
			assert.deepEqual(names(), []);
		});
	}

	test("with a body that is too large", async () => {
		// A server that closes before it has read all may be seen as a reset.
		const answer = await call({ body: { ...instance, message: "x".repeat(20_000) } }).catch((error: NodeJS.ErrnoException) => error.code ?? "");
		assert.match(answer, /^413 the body is larger than 16384 bytes|^ECONNRESET$|^EPIPE$/);
		assert.deepEqual(names(), []);
	});

	test("beyond the limit of the identity", async () => {
		for (const name of ["r1", "r2", "r3"]) assert.match(await call({ path: `${base}/${name}` }), /^201 /);
		assert.match(await call({ path: `${base}/r4` }), /^429 .*has 3 instances/);
		for (const name of ["r1", "r2", "r3"]) assert.match(await call({ method: "DELETE", path: `${base}/${name}` }), /^200 /);
	});

	test("beyond what is in work at one time, and other routes answer all the same", async () => {
		const gate = Promise.withResolvers<void>();
		holding = gate.promise;
		const held = Array.from({ length: 64 }, (_, i) => call({ path: `${base}/h${i}` }));
		try {
			await until("64 are in work", () => reads === 64);
			assert.match(await call({}), /^503 too many requests at one time/);
			assert.equal(await call({ method: "POST", path: "/other" }), "200 {}");
		} finally {
			holding = undefined;
			gate.resolve();
			await Promise.all(held);
		}
		for (const name of names()) assert.match(await call({ method: "DELETE", path: `${base}/${name}` }), /^200 /);
	});

	test("while entries cannot be kept", async () => {
		isAway = true;
		assert.match(await call({}), /^503 registrations cannot be kept now/);
		isAway = false;
		assert.match(await call({}), /^201 /);
		await call({ method: "DELETE" });
	});
});
