import assert from "node:assert/strict";
import { test } from "node:test";
import type { AccessQuestion } from "@weft/kube";
import { createLogger } from "@weft/runtime";
import { createSecretAccess } from "./secret-access.ts";

/** A clock that stands until it is told to go on; who sleeps is woken. */
function manualClock() {
	let nowMs = 0;
	const sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];
	return {
		nowMs: () => nowMs,
		monotonicMs: () => nowMs,
		sleep: (ms: number) => new Promise<void>((wake) => void sleepers.push({ atMs: nowMs + ms, wake })),
		async advance(ms: number) {
			nowMs += ms;
			for (const { atMs, wake } of sleepers) if (atMs <= nowMs) wake();
			await new Promise((resolve) => setImmediate(resolve));
		},
	};
}

function start(answer: (question: AccessQuestion) => boolean) {
	const clock = manualClock();
	const asked: AccessQuestion[] = [];
	let changes = 0;
	const access = createSecretAccess({
		client: {
			mayAccess: async (question) => {
				asked.push(question);
				return answer(question);
			},
		},
		clock,
		logger: createLogger({ level: "none" }),
		signal: new AbortController().signal,
	});
	access.onChange(() => changes++);
	return { clock, access, asked, changes: () => changes };
}

test("asks once for a service account, says no until it knows, and tells when that changes", async () => {
	const { clock, access, asked, changes } = start(({ namespace }) => namespace === "a");
	assert.equal(access.mayRead("a", "gw"), false);
	assert.equal(access.mayRead("a", "gw"), false);
	assert.equal(access.mayRead("b", "gw"), false);
	await clock.advance(0);
	assert.deepEqual([access.mayRead("a", "gw"), access.mayRead("b", "gw"), changes(), asked.length], [true, false, 1, 2]);
	const [first] = asked;
	assert.deepEqual([first?.user, first?.verb, first?.resource.plural, first?.namespace], ["system:serviceaccount:a:gw", "list", "secrets", "a"]);
	assert.ok(first?.groups.includes("system:serviceaccounts:a"));
});

test("a right that is taken away is noticed, and what was allowed holds while the API server is away", async () => {
	let state: "allowed" | "away" | "refused" = "allowed";
	const { clock, access, asked, changes } = start(() => {
		if (state === "away") throw new Error("away");
		return state === "allowed";
	});
	access.mayRead("a", "gw");
	await clock.advance(0);
	state = "away";
	await clock.advance(61_000);
	assert.equal(access.mayRead("a", "gw"), true);
	await clock.advance(0);
	assert.equal(access.mayRead("a", "gw"), true);
	state = "refused";
	await clock.advance(5_000);
	assert.deepEqual([access.mayRead("a", "gw"), changes(), asked.length], [false, 2, 3]);
});

test("an API server that is away at first is asked until it answers", async () => {
	let isAway = true;
	const { clock, access } = start(() => {
		if (isAway) throw new Error("away");
		return true;
	});
	access.mayRead("a", "gw");
	await clock.advance(0);
	isAway = false;
	await clock.advance(5_000);
	assert.equal(access.mayRead("a", "gw"), true);
});
