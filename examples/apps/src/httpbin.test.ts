import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { startHttpbin } from "./httpbin.ts";
import { encodeMultipart } from "./multipart.ts";
import { jsonOf, startTestApp } from "./test-app.ts";

type Values = {
	args: unknown;
	headers: Record<string, string[]>;
	method: string;
	form: unknown;
	files: unknown;
	json: unknown;
	data: string;
};

test("/headers shows canonical names with every value in a list", async (t) => {
	const app = await startTestApp(t, startHttpbin);
	const body = jsonOf(await app.send("/headers", { headers: { "x-forwarded-client-cert": "By=spiffe://a" } })) as Values;
	assert.deepEqual(body.headers["X-Forwarded-Client-Cert"], ["By=spiffe://a"]);
});

test("/get shows the query, /post the body in its forms", async (t) => {
	const app = await startTestApp(t, startHttpbin);
	assert.deepEqual((jsonOf(await app.send("/get?a=1&a=2")) as Values).args, { a: ["1", "2"] });
	const asJson = await app.send("/post", {
		method: "POST",
		headers: { "content-type": "application/json" },
		body: Buffer.from('{"k":[1]}'),
	});
	assert.deepEqual((jsonOf(asJson) as Values).json, { k: [1] });
	const type = "application/x-www-form-urlencoded";
	const asForm = await app.send("/anything/deep/path", { method: "PUT", headers: { "content-type": type }, body: Buffer.from("a=b&c=d") });
	assert.deepEqual((jsonOf(asForm) as Values).form, { a: ["b"], c: ["d"] });
	assert.equal((jsonOf(asForm) as Values).method, "PUT");
	const body = encodeMultipart("xyz", "file", "f.txt", "text/plain", Buffer.from("inside"));
	const asMultipart = await app.send("/post", { method: "POST", headers: { "content-type": "multipart/form-data; boundary=xyz" }, body });
	assert.deepEqual((jsonOf(asMultipart) as Values).files, { file: ["inside"] });
});

const statusCases = [
	["/status/418", 418],
	["/status/503", 503],
	["/status/204", 204],
	["/status/42", 400],
	["/status/abc", 400],
	["/delay/11", 400],
	["/delay/0", 200],
	["/bytes/999999999", 400],
	["/basic-auth/a/b", 401],
	["/bearer", 401],
	["/nowhere", 404],
	["/redirect/2", 302],
	["/redirect-to?url=//evil.example", 400],
] as const;

test("each path answers its status", async (t) => {
	const app = await startTestApp(t, startHttpbin);
	for (const [path, status] of statusCases) assert.equal((await app.send(path)).status, status, path);
	assert.equal((await app.send("/get", { method: "POST" })).status, 405);
});

test("/bytes and /stream-bytes send the same bytes, /stream as many lines as asked", async (t) => {
	const app = await startTestApp(t, startHttpbin);
	const whole = await app.send("/bytes/30000");
	const streamed = await app.send("/stream-bytes/30000");
	assert.equal(whole.body.length, 30_000);
	assert.ok(whole.body.equals(streamed.body));
	assert.equal(streamed.headers["transfer-encoding"], "chunked");
	assert.equal((await app.send("/stream/3")).body.toString().trim().split("\n").length, 3);
});

test("/response-headers sets what the query asks for and refuses header injection", async (t) => {
	const app = await startTestApp(t, startHttpbin);
	assert.equal((await app.send("/response-headers?x-color=red")).headers["x-color"], "red");
	assert.equal((await app.send("/response-headers?x-color=a%0D%0Ab")).status, 400);
});

test("a body over the limit is answered 413 and the connection ends", async (t) => {
	const app = await startTestApp(t, startHttpbin);
	const answer = await new Promise<string>((resolve) => {
		const socket = connect(app.ports[0] ?? 0, "127.0.0.1", () => {
			socket.write("POST /post HTTP/1.1\r\nhost: a\r\ncontent-length: 17000000\r\n\r\n");
			socket.write(Buffer.alloc(17_000_000));
		});
		socket.on("error", () => undefined);
		socket.once("data", (bytes: Buffer) => {
			socket.destroy();
			resolve(bytes.toString("latin1"));
		});
	});
	assert.match(answer, /^HTTP\/1\.1 413 /);
});
