import assert from "node:assert/strict";
import { test } from "node:test";
import { startImageProcessor, startObjectDetector, startVisionWeb } from "./ai-vision.ts";
import { buildJpeg, decodeJpegInfo, padJpeg } from "./jpeg.ts";
import { decodeMultipart, encodeMultipart, multipartBoundary } from "./multipart.ts";
import { startTestApp } from "./test-app.ts";

const megabytes5 = 5_000_000;

test("a padded picture has the size asked for and is still the same picture", () => {
	const plain = buildJpeg(40, 30);
	const padded = padJpeg(plain, megabytes5);
	assert.ok(padded.length >= megabytes5 && padded.length < megabytes5 + 8);
	assert.deepEqual(decodeJpegInfo(plain), { width: 320, height: 240, components: 1, comments: 0 });
	assert.equal(decodeJpegInfo(padded)?.width, 320);
	assert.equal(decodeJpegInfo(padded.subarray(0, -1)), undefined);
	assert.equal(decodeJpegInfo(Buffer.from("not a picture")), undefined);
});

test("5 MB go from the web front through the processor to the detector and come back as a JPEG", async (t) => {
	const detector = await startTestApp(t, startObjectDetector, { POD_NAME: "detector-1" });
	const processor = await startTestApp(t, startImageProcessor, { OBJECT_DETECTOR_URL: detector.url });
	const web = await startTestApp(t, startVisionWeb, { IMAGE_PROCESSOR_URL: processor.url });
	assert.match((await web.send("/")).body.toString(), /type="file" name="image"/);
	const image = (await web.send(`/sample.jpg?bytes=${megabytes5}`)).body;
	const body = encodeMultipart("cut-here", "image", "sample.jpg", "image/jpeg", image);
	const response = await web.send("/process", {
		method: "POST",
		headers: { "content-type": "multipart/form-data; boundary=cut-here" },
		body,
	});
	assert.equal(response.status, 200);
	assert.equal(response.headers["content-type"], "image/jpeg");
	assert.equal(response.headers["x-image-size"], "320x240");
	assert.ok(response.body.length > megabytes5);
	assert.match(response.body.subarray(0, 500).toString("latin1"), /"detector":"detector-1"/);
	assert.equal(decodeJpegInfo(response.body)?.comments, (decodeJpegInfo(image)?.comments ?? 0) + 1);
});

test("what is not a picture or not a form is refused with a reason", async (t) => {
	const detector = await startTestApp(t, startObjectDetector);
	const processor = await startTestApp(t, startImageProcessor, { OBJECT_DETECTOR_URL: detector.url });
	assert.equal((await detector.send("/detect", { method: "POST", body: Buffer.from("hello") })).status, 400);
	assert.equal((await processor.send("/process", { method: "POST", body: Buffer.from("hello") })).status, 415);
	const other = encodeMultipart("b", "picture", "a.jpg", "image/jpeg", buildJpeg(1, 1));
	const headers = { "content-type": "multipart/form-data; boundary=b" };
	assert.equal((await processor.send("/process", { method: "POST", headers, body: other })).status, 400);
});

test("a processor whose detector is away answers 502", async (t) => {
	const processor = await startTestApp(t, startImageProcessor, { OBJECT_DETECTOR_URL: "http://127.0.0.1:1" });
	const body = encodeMultipart("b", "image", "a.jpg", "image/jpeg", buildJpeg(1, 1));
	const response = await processor.send("/process", {
		method: "POST",
		headers: { "content-type": "multipart/form-data; boundary=b" },
		body,
	});
	assert.equal(response.status, 502);
});

test("a form is decoded part by part and a cut one is refused", () => {
	const body = Buffer.from('--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name="e"\r\n\r\n\r\n--b--\r\n');
	assert.deepEqual(
		decodeMultipart(body, "b")?.map((part) => [part.name, part.body.toString()]),
		[
			["a", "1"],
			["e", ""],
		],
	);
	assert.equal(decodeMultipart(body.subarray(0, -8), "b"), undefined);
	assert.equal(multipartBoundary('multipart/form-data; boundary="q u"'), "q u");
	assert.equal(multipartBoundary("text/plain"), undefined);
});
