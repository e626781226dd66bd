import assert from "node:assert/strict";
import { test } from "node:test";
import { startStandalone, type Standalone } from "./standalone.ts";
import { WantedNames } from "./wanted-names.ts";

const asked = ({ messages }: Standalone) => messages.flatMap((message) => (message.kind === "want" ? [`${message.what} ${message.name}`] : []));

test("a name is asked for once, whoever waits for it, and again after its answer", async (t) => {
	const proxy = await startStandalone("net");
	t.after(() => proxy.close());
	const { context } = proxy.worker;
	const wanted = new WantedNames("host");
	const answers: string[] = [];
	wanted.wait(context, "table/a", 1_000, () => answers.push("first"));
	const cancel = wanted.wait(context, "table/a", 1_000, () => answers.push("gone"));
	wanted.wait(context, "other/a", 1_000, () => answers.push("other"));
	cancel?.();
	assert.deepEqual(asked(proxy), ["host table/a", "host other/a"]);
	wanted.answered(["table/a", "nobody/asked"]);
	assert.deepEqual(answers, ["first"]);
	wanted.wait(context, "table/a", 1_000, () => answers.push("second"));
	assert.deepEqual(asked(proxy), ["host table/a", "host other/a", "host table/a"]);
});

test("who waits is told when nobody answers in time", async (t) => {
	const proxy = await startStandalone("net");
	t.after(() => proxy.close());
	const wanted = new WantedNames("cluster");
	const answer = await new Promise((resolve) => wanted.wait(proxy.worker.context, "late", 20, resolve));
	assert.equal(answer, "timeout");
});

test("more than can be asked for are not waited for", async (t) => {
	const proxy = await startStandalone("net");
	t.after(() => proxy.close());
	const wanted = new WantedNames("cluster");
	const wait = (name: string) => wanted.wait(proxy.worker.context, name, 1_000, () => undefined);
	for (let i = 0; i < 1_000; i++) assert.ok(wait(`name-${i}`) !== undefined);
	assert.equal(wait("one-more"), undefined);
	assert.ok(wait("name-1") !== undefined);
});
