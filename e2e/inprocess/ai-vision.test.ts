import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { buildJpeg, padJpeg } from "../../examples/apps/src/jpeg.ts";

const examples = join(import.meta.dirname, "../../examples");
let mesh: TestMesh;

before(async () => {
	mesh = await startTestMesh({
		sources: [{ file: "ai-vision.yaml", text: readFileSync(join(examples, "ai-vision/ai-vision.yaml"), "utf8") }],
		imageFiles: [join(examples, "weft.local.yaml")],
	});
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

function multipart(image: Buffer): { readonly body: Buffer; readonly headers: Record<string, string> } {
	const boundary = "weft-test-boundary";
	const head = `--${boundary}\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\ncontent-type: image/jpeg\r\n\r\n`;
	return {
		body: Buffer.concat([Buffer.from(head), image, Buffer.from(`\r\n--${boundary}--\r\n`)]),
		headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
	};
}

test("5 MB go through two services on unnamed ports and come back as a JPEG", async () => {
	const image = padJpeg(buildJpeg(16, 16), 5_000_000);
	const { body, headers } = multipart(image);
	for (let i = 0; i < 4; i++) {
		const answer = await mesh.call("image-processor", "/process", { method: "POST", body, headers, timeoutMs: 30_000 });
		assert.equal(answer.status, 200, answer.body.slice(0, 200));
		assert.equal(answer.headers["content-type"], "image/jpeg");
		assert.deepEqual([answer.bytes[0], answer.bytes[1]], [0xff, 0xd8]);
		assert.ok(answer.bytes.length >= 4_000_000, `${answer.bytes.length} bytes`);
	}
});

test("a raw body is detected too, and a wrong one is the service's own 4xx", async () => {
	const answer = await mesh.call("object-detector", "/detect", {
		method: "POST",
		body: padJpeg(buildJpeg(16, 16), 100_000),
		headers: { "content-type": "image/jpeg" },
	});
	assert.equal(answer.status, 200);
	const wrong = await mesh.call("object-detector", "/detect", { method: "POST", body: "not an image" });
	assert.ok(wrong.status >= 400 && wrong.status < 500, String(wrong.status));
});
