import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { suite, test } from "node:test";
import { type Clock, createLogger } from "@weft/runtime";
import { unknownJwks } from "../model/jwks.ts";
import { createTestMesh } from "../translator/routes/test-mesh.ts";
import { createJwksFetcher } from "./jwks-fetcher.ts";

const keySet = (kid: string) => `{"keys":[{"kty":"RSA","kid":"${kid}"}]}`;
const policy = (name: string, rule: string) =>
	`apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: ${name}, namespace: default}\nspec: {jwtRules: [${rule}]}\n---\n`;

/** Time stands still until `pass` is called. */
function createStoppedClock(): Clock & { readonly sleeps: readonly number[]; pass(): Promise<void> } {
	const sleeps: number[] = [];
	let wake: (() => void)[] = [];
	return {
		sleeps,
		nowMs: () => 0,
		monotonicMs: () => 0,
		sleep: (ms, signal) =>
			new Promise((resolve) => {
				sleeps.push(ms);
				wake.push(resolve);
				signal?.addEventListener("abort", () => resolve(), { once: true });
			}),
		async pass() {
			const due = wake;
			wake = [];
			for (const resolve of due) resolve();
			await settle();
		},
	};
}

const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 5));

function createSetup(answers: Readonly<Record<string, readonly string[]>>) {
	const asked: string[] = [];
	const clock = createStoppedClock();
	const controller = new AbortController();
	const left = new Map(Object.entries(answers).map(([url, list]) => [url, [...list]]));
	let changes = 0;
	const fetcher = createJwksFetcher({
		transport: async (url, timeoutMs) => {
			asked.push(`${url} ${timeoutMs}`);
			const list = left.get(url) ?? [];
			const answer = list.length > 1 ? list.shift() : list[0];
			if (answer === undefined || answer === "") throw new Error("status 500");
			return answer;
		},
		clock,
		logger: createLogger({ level: "error" }),
		signal: controller.signal,
		onChange: () => changes++,
		random: () => 0.5,
	});
	return { fetcher, asked, clock, controller, changes: () => changes };
}

suite("keys of token issuers", () => {
	test("are fetched from the address that a policy names, within the time that it grants", async () => {
		const { fetcher, asked, controller, changes } = createSetup({ "https://a/keys": [keySet("1")] });
		fetcher.update(createTestMesh().apply(policy("p", "{issuer: a, jwksUri: 'https://a/keys', timeout: 3s}")));
		await settle();
		assert.equal(fetcher.index.get("https://a/keys"), keySet("1"));
		assert.deepEqual([asked, changes()], [["https://a/keys 3000"], 1]);
		controller.abort();
	});

	test("are found by what the issuer says of itself", async () => {
		const config = "https://a.com/.well-known/openid-configuration";
		const { fetcher, controller } = createSetup({ [config]: ['{"jwks_uri": "https://a.com/k"}'], "https://a.com/k": [keySet("1")] });
		fetcher.update(createTestMesh().apply(policy("p", "{issuer: 'https://a.com/'}")));
		await settle();
		assert.equal(fetcher.index.get(config), keySet("1"));
		controller.abort();
	});

	test("in line are not fetched", async () => {
		const { fetcher, asked, controller } = createSetup({});
		fetcher.update(createTestMesh().apply(policy("p", `{issuer: a, jwks: '${keySet("1")}'}`)));
		await settle();
		assert.deepEqual(asked, []);
		controller.abort();
	});

	test("are read anew after twenty minutes, and stay in force while that fails", async () => {
		const { fetcher, clock, controller, changes } = createSetup({ "https://a/keys": [keySet("1"), "", keySet("2")] });
		fetcher.update(createTestMesh().apply(policy("p", "{issuer: a, jwksUri: 'https://a/keys'}")));
		await settle();
		await clock.pass();
		assert.equal(fetcher.index.get("https://a/keys"), keySet("1"));
		await clock.pass();
		assert.equal(fetcher.index.get("https://a/keys"), keySet("2"));
		assert.deepEqual([clock.sleeps.map(Math.round), changes()], [[1_200_000, 1_000, 1_200_000], 2]);
		controller.abort();
	});

	const bad: readonly (readonly [title: string, answer: string])[] = [
		["no JSON", "<html>"],
		["no key set", '{"keys": "a"}'],
		["no keys", '{"keys": []}'],
		["a secret key", '{"keys": [{"kty": "oct", "k": "AA"}]}'],
		["a private key", '{"keys": [{"kty": "RSA", "d": "AA"}]}'],
	];
	for (const [title, answer] of bad) {
		test(`are not taken where the answer is ${title}`, async () => {
			const { fetcher, controller, changes } = createSetup({ "https://a/keys": [answer] });
			fetcher.update(createTestMesh().apply(policy("p", "{issuer: a, jwksUri: 'https://a/keys'}")));
			await settle();
			assert.deepEqual([fetcher.index.size, changes()], [0, 0]);
			controller.abort();
		});
	}

	test("are forgotten with the last policy that names them", async () => {
		const { fetcher, controller } = createSetup({ "https://a/keys": [keySet("1")], "https://b/keys": [keySet("2")] });
		const mesh = createTestMesh();
		fetcher.update(mesh.apply(policy("p", "{issuer: a, jwksUri: 'https://a/keys'}")));
		await settle();
		fetcher.update(mesh.apply(policy("p", "{issuer: b, jwksUri: 'https://b/keys'}")));
		await settle();
		assert.deepEqual([...fetcher.index.keys()], ["https://b/keys"]);
		controller.abort();
	});

	test("that are not known yet are replaced by a point that nobody has a private key for", () => {
		const [key] = (JSON.parse(unknownJwks) as { readonly keys: readonly { readonly x: string; readonly y: string }[] }).keys;
		const x = createHash("sha256").update("weft: keys of this issuer are not known yet 3").digest();
		assert.equal(key?.x, x.toString("base64url"));
		const [px, py] = [x, Buffer.from(key?.y ?? "", "base64url")].map((bytes) => BigInt(`0x${bytes.toString("hex")}`));
		const p = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
		const b = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
		assert.equal(((py ?? 0n) * (py ?? 0n)) % p, ((px ?? 0n) ** 3n - 3n * (px ?? 0n) + b) % p);
	});
});
