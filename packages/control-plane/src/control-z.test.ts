import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { createLogger } from "@weft/runtime";
import { startControlZ } from "./control-z.ts";

const stop = new AbortController();
const lines: string[] = [];
const logger = createLogger({ write: (line) => lines.push(line) });
const ads = logger.child("ads");
let address = "";

before(async () => {
	address = await startControlZ({ address: "127.0.0.1:0", logger, signal: stop.signal });
});
after(() => stop.abort());

const url = (scope = "") => `http://${address}/scopej${scope}`;
const put = async (scope: string, body: object | string) => {
	const response = await fetch(url(`/${scope}`), { method: "PUT", body: typeof body === "string" ? body : JSON.stringify(body) });
	return { status: response.status, text: await response.text() };
};

test("the scopes with their levels, as istioctl admin log reads them", async () => {
	const scopes = (await (await fetch(url())).json()) as readonly Record<string, unknown>[];
	assert.deepEqual(
		scopes.map(({ name, output_level, stack_trace_level }) => [name, output_level, stack_trace_level]),
		[
			["ads", "info", "none"],
			["default", "info", "none"],
		],
	);
	assert.deepEqual(await (await fetch(url("/ads"))).json(), scopes[0]);
});

test("a level that is set holds at once, for everybody who logs in that scope, and for no other", async () => {
	assert.equal((await put("ads", { name: "ads", output_level: "debug" })).status, 202);
	ads.debug("seen");
	logger.child("ads").debug("seen as well");
	logger.debug("not seen");
	assert.deepEqual(
		lines.map((line) => line.trim().split("\t").at(-1)),
		["seen", "seen as well"],
	);
	// The reset.
	assert.equal((await put("ads", { name: "ads", output_level: "info", stack_trace_level: "none" })).status, 202);
	ads.debug("not seen");
	assert.equal(lines.length, 2);
});

test("what cannot be is refused, and changes nothing", async () => {
	const before = ads.level;
	for (const [scope, body, words] of [
		["nobody", { output_level: "debug" }, /unknown scope name: nobody/],
		["ads", { output_level: "loud" }, /unknown level "loud"/],
		["ads", { output_level: "debug", stack_trace_level: "debug" }, /stack traces/],
		["ads", { output_level: "debug", log_callers: true }, /callers/],
		["ads", "nonsense", /unable to decode/],
	] as const) {
		const { status, text } = await put(scope, body);
		assert.equal(status, 400, text);
		assert.match(text, words);
	}
	assert.equal(ads.level, before);
});

test("only loopback, by address and by name", async () => {
	await assert.rejects(startControlZ({ address: "0.0.0.0:0", logger, signal: stop.signal }), /loopback only/);
	const status = await new Promise((resolve, reject) => {
		const call = request({ host: "127.0.0.1", port: Number(address.split(":")[1]), path: "/scopej", headers: { host: "evil.example" } }, (response) => {
			response.resume();
			resolve(response.statusCode);
		});
		call.on("error", reject);
		call.end();
	});
	assert.equal(status, 403);
});
