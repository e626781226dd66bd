import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemClock } from "@weft/runtime";
import { authenticate } from "./authenticator.ts";
import { createTokenReviewAuthenticator, type ReviewedToken } from "./token-review-authenticator.ts";

const nowMs = 1_800_000_000_000;
const jwt = (claims: object) => ["{}", JSON.stringify(claims), "signature"].map((part) => Buffer.from(part).toString("base64url")).join(".");
const fresh = jwt({ exp: nowMs / 1000 + 3600 });
const podExtra = { "authentication.kubernetes.io/pod-name": ["web-1"], "authentication.kubernetes.io/pod-uid": ["u1"] };
const good: ReviewedToken = { authenticated: true, username: "system:serviceaccount:default:web", extra: podExtra };

function setUp(answer: () => ReviewedToken, needsPod = true) {
	const state = { asked: 0, nowMs };
	const clock = { ...systemClock, nowMs: () => state.nowMs };
	const review = async () => {
		state.asked++;
		return answer();
	};
	const authenticator = createTokenReviewAuthenticator({ review, clock, trustDomain: "cluster.local", needsPod });
	const attempt = (bearerToken: string | undefined) => authenticate([authenticator], { verifiedCertificate: undefined, bearerToken, remoteAddress: "-" });
	return { state, attempt };
}

test("a pod's token gives the identity of its service account", async () => {
	const { attempt } = setUp(() => good);
	const outcome = await attempt(fresh);
	assert.ok(outcome.ok);
	assert.deepEqual(outcome.value.identity, { trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" });
	assert.equal(outcome.value.pod, "web-1");
});

describe("refused", () => {
	const cases: readonly { readonly name: string; readonly token?: string; readonly answer?: ReviewedToken; readonly asked: number; readonly reason: RegExp }[] =
		[
			{ name: "no token", asked: 0, reason: /no bearer token/ },
			{ name: "no JWT", token: "abc", asked: 0, reason: /no JSON Web Token/ },
			{ name: "a JWT that never expires", token: jwt({}), asked: 0, reason: /no JSON Web Token with an expiry/ },
			{ name: "an expired one", token: jwt({ exp: nowMs / 1000 - 1 }), asked: 0, reason: /has expired/ },
			{ name: "a huge one", token: `a.${"b".repeat(20_000)}.c`, asked: 0, reason: /too long/ },
			{ name: "a forged one", token: fresh, answer: { authenticated: false, error: "invalid bearer token" }, asked: 1, reason: /invalid bearer token/ },
			{ name: "a user's", token: fresh, answer: { ...good, username: "admin" }, asked: 1, reason: /no service account/ },
			{ name: "one that no pod has", token: fresh, answer: { ...good, extra: {} }, asked: 1, reason: /not bound to a pod/ },
			{ name: "an account with a slash", token: fresh, answer: { ...good, username: "system:serviceaccount:a/b:c" }, asked: 1, reason: /namespace/ },
		];
	for (const { name, token, answer = good, asked, reason } of cases) {
		test(name, async () => {
			const { state, attempt } = setUp(() => answer);
			const outcome = await attempt(token);
			assert.ok(!outcome.ok && !("isUnavailable" in outcome));
			assert.match(outcome.reason, reason);
			assert.equal(state.asked, asked);
		});
	}
});

test("a machine's account needs no pod, and no other account gets by with it", async () => {
	const ask = async (username: string) => {
		const review = async () => ({ authenticated: true, username, extra: {} }) as const;
		const isMachine = (namespace: string, serviceAccount: string) => namespace === "default" && serviceAccount === "vm";
		const clock = { ...systemClock, nowMs: () => nowMs };
		const authenticator = createTokenReviewAuthenticator({ review, clock, trustDomain: "cluster.local", needsPod: true, isMachine });
		return (await authenticator.authenticate({ verifiedCertificate: undefined, bearerToken: fresh, remoteAddress: "-" })).ok;
	};
	assert.equal(await ask("system:serviceaccount:default:vm"), true);
	assert.equal(await ask("system:serviceaccount:default:web"), false);
	assert.equal(await ask("system:serviceaccount:other:vm"), false);
});

test("a question about the mesh needs no pod", async () => {
	assert.ok((await setUp(() => ({ ...good, extra: {} }), false).attempt(fresh)).ok);
});

test("a verdict is remembered shortly, never beyond the token's own time", async () => {
	const { state, attempt } = setUp(() => good);
	const short = jwt({ exp: nowMs / 1000 + 10 });
	for (let i = 0; i < 3; i++) assert.ok((await attempt(fresh)).ok);
	assert.equal(state.asked, 1);
	state.nowMs += 31_000;
	assert.ok((await attempt(fresh)).ok);
	assert.equal(state.asked, 2);
	state.nowMs = nowMs;
	assert.ok((await attempt(short)).ok);
	state.nowMs += 11_000;
	assert.ok(!(await attempt(short)).ok);
});

test("while the API server is away, tokens that nobody can verify are told apart from bad ones, and nothing is remembered", async () => {
	let away = true;
	const { attempt } = setUp(() => {
		if (away) throw new Error("connect ECONNREFUSED");
		return good;
	});
	const outcome = await attempt(fresh);
	assert.ok(!outcome.ok && "isUnavailable" in outcome);
	assert.match(outcome.reason, /ECONNREFUSED/);
	away = false;
	assert.ok((await attempt(fresh)).ok);
});

test("many at one time ask once a token, and not without bound", async () => {
	let release = () => {};
	const gate = new Promise<void>((resolve) => {
		release = resolve;
	});
	let asked = 0;
	const authenticator = createTokenReviewAuthenticator({
		review: async () => {
			asked++;
			await gate;
			return good;
		},
		clock: { ...systemClock, nowMs: () => nowMs },
		trustDomain: "cluster.local",
		needsPod: true,
	});
	const attempt = (bearerToken: string) => authenticator.authenticate({ verifiedCertificate: undefined, bearerToken, remoteAddress: "-" });
	const many = Array.from({ length: 300 }, (_, i) => [attempt(jwt({ exp: nowMs, i })), attempt(jwt({ exp: nowMs, i }))]).flat();
	await new Promise((resolve) => setImmediate(resolve));
	assert.equal(asked, 256);
	release();
	const outcomes = await Promise.all(many);
	assert.equal(outcomes.filter((outcome) => outcome.ok).length, 512);
	assert.ok(outcomes.every((outcome) => outcome.ok || "isUnavailable" in outcome));
});
