import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { call, closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { type Caller, createCaller, stranger } from "./callers.ts";
import { networking, service, workload } from "./mesh-yaml.ts";
import { boundAddress, podOf } from "./pods.ts";

// What is accepted is in force: every kind of policy, wherever it is attached; and what cannot be enforced lets nothing through.

let mesh: TestMesh;
let server: string;
let other: string;
let alice: Caller;
/** Writes down every byte that reaches it, and answers HTTP. */
let recorder: Server;
let received = "";

before(async () => {
	recorder = createServer((socket) => {
		socket.on("error", () => undefined);
		socket.on("data", (bytes) => {
			received += bytes.toString("latin1");
			socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
		});
	});
	recorder.listen(0, "127.0.0.1");
	await once(recorder, "listening");
	const entry = networking("ServiceEntry", "vault", {
		hosts: ["vault.test"],
		location: "MESH_EXTERNAL",
		resolution: "STATIC",
		ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: (recorder.address() as AddressInfo).port }],
		endpoints: [{ address: "127.0.0.1" }],
	});
	const one = (name: string) => workload({ name, app: "http-app.ts", ports: [8000] }) + service(name, [{ name: "http", port: 8000 }]);
	mesh = await startTestMesh({ yaml: one("server") + one("other") + entry });
	[server, other] = await Promise.all([boundAddress(podOf(mesh, "server-v1")), boundAddress(podOf(mesh, "other-v1"))]);
	alice = await createCaller(mesh, "foo", "alice");
});

after(async () => {
	await mesh?.stop();
	recorder.close();
	closeConnections();
});

const object = (kind: string, namespace: string, spec: object) => ({ apiVersion: "security.istio.io/v1", kind, metadata: { name: "p", namespace }, spec });
const selector = { selector: { matchLabels: { app: "server" } } };

/** Where a policy may be attached: spec, namespace, and whether it reaches the other workload of the namespace, too. */
const attachments = [
	["a workload", "default", selector, false],
	["a namespace", "default", {}, true],
	["the mesh", "istio-system", {}, true],
] as const;

interface KindCase {
	readonly kind: "AuthorizationPolicy" | "RequestAuthentication" | "PeerAuthentication";
	readonly what: string;
	readonly spec: object;
	/** What a workload answers that the policy does, and does not, reach. */
	readonly reached: number;
	ask(address: string): Promise<number>;
}

const jwk = { ...generateKeyPairSync("ec", { namedCurve: "prime256v1" }).publicKey.export({ format: "jwk" }), kid: "1", use: "sig", alg: "ES256" };
const plain = async (address: string, headers: Readonly<Record<string, string>> = {}) => (await stranger.get(address, "/x", { headers })).status;
const kinds: readonly KindCase[] = [
	{ kind: "AuthorizationPolicy", what: "ALLOW", spec: { rules: [{ to: [{ operation: { methods: ["PUT"] } }] }] }, reached: 403, ask: plain },
	{ kind: "AuthorizationPolicy", what: "DENY", spec: { action: "DENY", rules: [{ to: [{ operation: { paths: ["/x"] } }] }] }, reached: 403, ask: plain },
	{
		kind: "RequestAuthentication",
		what: "jwks",
		spec: { jwtRules: [{ issuer: "https://issuer.test", jwks: JSON.stringify({ keys: [jwk] }) }] },
		reached: 401,
		ask: (address) => plain(address, { authorization: "Bearer a.b.c" }),
	},
	{ kind: "PeerAuthentication", what: "STRICT", spec: { mtls: { mode: "STRICT" } }, reached: 0, ask: plain },
];

describe("sec/b17: a policy that is accepted changes verdicts", () => {
	for (const { kind, what, spec, reached, ask } of kinds) {
		for (const [place, namespace, where, isEverywhere] of attachments) {
			test(`sec/b17: ${kind} ${what} on ${place}`, async () => {
				assert.deepEqual([await ask(server), await ask(other)], [200, 200]);
				try {
					await mesh.applyYaml(JSON.stringify(object(kind, namespace, { ...where, ...spec })));
					assert.deepEqual([await ask(server), await ask(other)], [reached, isEverywhere ? reached : 200]);
				} finally {
					await mesh.client.remove(kind, namespace, "p", true);
				}
				assert.deepEqual([await ask(server), await ask(other)], [200, 200]);
			});
		}
	}

	test("sec/b17: what cannot be enforced as written is refused when it is applied", async () => {
		const cases: readonly object[] = [
			{ rules: [{ when: [{ key: "request.nonsense", values: ["x"] }] }] },
			{ action: "PERHAPS", rules: [{}] },
			{ rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/99"] } }] }] },
			{ rules: [{ to: [{ operation: { paths: ["/a/{*}/{**}/b{"] } }] }] },
		];
		for (const spec of cases) await assert.rejects(mesh.applyYaml(JSON.stringify(object("AuthorizationPolicy", "default", spec))), JSON.stringify(spec));
		assert.equal(await plain(server), 200);
	});
});

describe("sec/b11: hosts", () => {
	const raw = (text: string): Promise<number> =>
		new Promise((resolve, reject) => {
			const [host = "", port = ""] = server.split(":");
			const socket = connect({ host, port: Number(port) });
			let answer = "";
			socket.setTimeout(5_000, () => socket.destroy(new Error("no answer")));
			socket.on("data", (bytes) => (answer += bytes.toString()));
			socket.on("error", reject);
			socket.on("close", () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0)));
			socket.write(text);
		});
	const get = (target: string, ...hosts: readonly string[]) =>
		raw(`GET ${target} HTTP/1.1\r\n${hosts.map((host) => `host: ${host}\r\n`).join("")}connection: close\r\n\r\n`);
	const withPolicy = async (spec: object, check: () => Promise<void>) => {
		await mesh.applyYaml(JSON.stringify(object("AuthorizationPolicy", "default", { ...selector, ...spec })));
		try {
			await check();
		} finally {
			await mesh.client.remove("AuthorizationPolicy", "default", "p", true);
		}
	};

	test("sec/b11: every spelling of a denied host is denied, and two hosts are no request", async () => {
		await withPolicy({ action: "DENY", rules: [{ to: [{ operation: { hosts: ["secret.com", "secret.com:*"] } }] }] }, async () => {
			for (const host of ["secret.com", "Secret.com", "SECRET.COM", "secret.com:80", "Secret.Com:8000"]) assert.equal(await get("/x", host), 403, host);
			for (const target of ["http://secret.com/x", "http://SECRET.com:80/x", "HTTP://secret.com/x"]) assert.equal(await get(target, "public.com"), 403, target);
			assert.equal(await get("http://public.com/x", "secret.com"), 200, "an absolute target decides");
			for (const hosts of [["public.com", "secret.com"], ["secret.com", "public.com"], []]) assert.equal(await get("/x", ...hosts), 400, hosts.join());
			for (const host of ["public.com@secret.com", "secret.com/x", "public.com, secret.com"]) assert.ok([400, 403].includes(await get("/x", host)), host);
			assert.equal(await get("/x", "public.com"), 200);
		});
	});

	test("sec/b11: what is not the allowed host to the letter is not allowed", async () => {
		await withPolicy({ rules: [{ to: [{ operation: { hosts: ["public.com"] } }] }] }, async () => {
			for (const host of ["public.com.", "xpublic.com", "public.com.evil", "publicxcom", "public.com:81"]) assert.equal(await get("/x", host), 403, host);
			assert.deepEqual([await get("/x", "public.com"), await get("/x", "PUBLIC.com")], [200, 200]);
		});
	});
});

describe("sec/b19: TLS that cannot be had is no plain text", () => {
	const rule = (tls: object, extra: object = {}) => networking("DestinationRule", "vault", { host: "vault.test", trafficPolicy: { tls }, ...extra });
	const ask = async () => {
		received = "";
		return (await call(mesh.proxyAddress, "http://vault.test/secret", { headers: { host: "vault.test" } })).status;
	};
	const cases: readonly (readonly [string, string])[] = [
		["a CA file that is not there", rule({ mode: "SIMPLE", caCertificates: "/nonexistent/ca.pem" })],
		[
			"a client certificate that is not there",
			rule({ mode: "MUTUAL", clientCertificate: "/nonexistent/c.pem", privateKey: "/nonexistent/k.pem", caCertificates: "/nonexistent/ca.pem" }),
		],
		["a Secret that is not there", rule({ mode: "SIMPLE", credentialName: "absent" }, { workloadSelector: { matchLabels: { app: "laptop" } } })],
		["a server without TLS", rule({ mode: "SIMPLE" })],
		["a server without the mesh's certificate", rule({ mode: "ISTIO_MUTUAL" })],
	];
	for (const [name, yaml] of cases) {
		test(`sec/b19: ${name}: the request fails, and nothing of it is on the wire`, async () => {
			assert.equal(await ask(), 200, "without the rule it is served in plain text");
			assert.match(received, /^GET \/secret /);
			await mesh.applyYaml(yaml);
			try {
				assert.equal(await ask(), 503);
				assert.doesNotMatch(received, /GET|secret|HTTP/);
			} finally {
				await mesh.client.remove("DestinationRule", "default", "vault", true);
			}
		});
	}

	test("sec/b19: with nothing in the way it is served again, and alice is who she is", async () => {
		assert.equal(await ask(), 200);
		assert.equal((await alice.get(server, "/x")).status, 200);
	});
});
