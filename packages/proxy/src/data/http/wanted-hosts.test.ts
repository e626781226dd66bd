import assert from "node:assert/strict";
import { test } from "node:test";
import { startStandalone, type Standalone } from "../worker/standalone.ts";
import { WantedHosts } from "./wanted-hosts.ts";

const asked = ({ messages }: Standalone) => messages.flatMap((message) => (message.kind === "wantHost" ? [message.name] : []));

test("a name is asked for once, whoever waits for it, and again after its answer", async (t) => {
	const proxy = await startStandalone("net");
	t.after(() => proxy.close());
	const { context } = proxy.worker;
	const hosts = new WantedHosts();
	const answers: string[] = [];
	hosts.wait(context, "table", "a", () => answers.push("first"));
	const cancel = hosts.wait(context, "table", "a", () => answers.push("gone"));
	hosts.wait(context, "other", "a", () => answers.push("other"));
	cancel?.();
	assert.deepEqual(asked(proxy), ["table/a", "other/a"]);
	hosts.answered(["table/a", "nobody/asked"]);
	assert.deepEqual(answers, ["first"]);
	hosts.wait(context, "table", "a", () => answers.push("second"));
	assert.deepEqual(asked(proxy), ["table/a", "other/a", "table/a"]);
});

test("names that cannot be, and more than can be asked for, are not waited for", async (t) => {
	const proxy = await startStandalone("net");
	t.after(() => proxy.close());
	const { context } = proxy.worker;
	const hosts = new WantedHosts();
	const wait = (host: string) => hosts.wait(context, "table", host, () => undefined);
	assert.deepEqual([wait(""), wait("a/b")], [undefined, undefined]);
	for (let i = 0; i < 1_000; i++) assert.ok(wait(`host-${i}`) !== undefined);
	assert.equal(wait("one-more"), undefined);
	assert.ok(wait("host-1") !== undefined);
});
