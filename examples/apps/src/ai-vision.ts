import { createHash } from "node:crypto";
import { type AppContext, instanceName, type RunningApp, textFrom } from "./environment.ts";
import { createHttpClient, type HttpClient } from "./http-client.ts";
import { type AppRequest, type AppResponse, errorText, html, json, startHttpApp } from "./http-server.ts";
import { annotateJpeg, buildJpeg, decodeJpegInfo, padJpeg } from "./jpeg.ts";
import { decodeMultipart, multipartBoundary } from "./multipart.ts";
import { forwardedHeaders } from "./trace-headers.ts";
import { buildUploadPage } from "./vision-page.ts";

const defaultPort = 5000;
const bodyBytesMax = 33_554_432;
const sampleBytesMax = 16_777_216;
const timeoutMs = 30_000;

/** `POST /detect`: a JPEG as the raw body; answers the picture with what was read from it in a comment segment and in headers. */
export function startObjectDetector(context: AppContext): Promise<RunningApp> {
	return startHttpApp(context, {
		defaultPort,
		bodyBytesMax,
		routes: [{ method: "POST", path: "/detect", handler: (request) => detect(context, request) }],
	});
}

/** `POST /process`: a form with the field `image`; sends the picture to the object detector and answers its JPEG. */
export async function startImageProcessor(context: AppContext): Promise<RunningApp> {
	const client = createHttpClient(context.env);
	const app = await startHttpApp(context, {
		defaultPort,
		bodyBytesMax,
		routes: [{ method: "POST", path: "/process", handler: (request) => process(context, client, request) }],
	});
	return { ...app, close: () => app.close().finally(() => client.close()) };
}

/** The front: `/` is an upload form, `/sample.jpg?bytes=N` a picture to try, `/process` goes on to the image processor. */
export async function startVisionWeb(context: AppContext): Promise<RunningApp> {
	const client = createHttpClient(context.env);
	const processorUrl = textFrom(context.env, "IMAGE_PROCESSOR_URL", "http://image-processor:5000");
	const app = await startHttpApp(context, {
		defaultPort,
		bodyBytesMax,
		routes: [
			{ method: "GET", path: "/", handler: () => html(200, buildUploadPage()) },
			{ method: "GET", path: "/sample.jpg", handler: sample },
			{ method: "POST", path: "/process", handler: (request) => passOn(context, client, `${processorUrl}/process`, request) },
		],
	});
	return { ...app, close: () => app.close().finally(() => client.close()) };
}

function detect(context: AppContext, request: AppRequest): AppResponse {
	const info = decodeJpegInfo(request.body);
	if (info === undefined) return json(400, { error: "the body is not a JPEG" });
	const sha256 = createHash("sha256").update(request.body).digest("hex");
	const report = { ...info, bytes: request.body.length, sha256, detector: instanceName(context.env) };
	return {
		status: 200,
		headers: { "content-type": "image/jpeg", "x-image-size": `${info.width}x${info.height}`, "x-image-sha256": sha256 },
		body: annotateJpeg(request.body, JSON.stringify(report)),
	};
}

async function process(context: AppContext, client: HttpClient, request: AppRequest): Promise<AppResponse> {
	const boundary = multipartBoundary(request.headers["content-type"]);
	if (boundary === undefined) return json(415, { error: "expected multipart/form-data" });
	const image = decodeMultipart(request.body, boundary)?.find((part) => part.name === "image");
	if (image === undefined) return json(400, { error: "expected a form field named image" });
	const detectorUrl = textFrom(context.env, "OBJECT_DETECTOR_URL", "http://object-detector:5000");
	return passOn(context, client, `${detectorUrl}/detect`, { ...request, body: image.body }, "image/jpeg");
}

async function passOn(context: AppContext, client: HttpClient, url: string, request: AppRequest, contentType?: string): Promise<AppResponse> {
	const headers = {
		...forwardedHeaders(request.headers),
		"content-type": contentType ?? request.headers["content-type"] ?? "application/octet-stream",
	};
	try {
		const response = await client.send({ url, method: "POST", headers, body: request.body, timeoutMs, signal: request.signal });
		return { status: response.status, headers: answerHeaders(response.headers), body: response.body };
	} catch (error) {
		context.log(errorText(error));
		return json(502, { error: "the next service did not answer" });
	}
}

function answerHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
	const kept: Record<string, string> = {};
	for (const name of ["content-type", "x-image-size", "x-image-sha256"]) {
		const value = headers[name];
		if (typeof value === "string") kept[name] = value;
	}
	return kept;
}

function sample(request: AppRequest): AppResponse {
	const bytes = Number(request.query.get("bytes") ?? "0");
	if (!Number.isInteger(bytes) || bytes < 0 || bytes > sampleBytesMax) return json(400, { error: `bytes must be from 0 to ${sampleBytesMax}` });
	return { status: 200, headers: { "content-type": "image/jpeg" }, body: padJpeg(buildJpeg(40, 30), bytes) };
}
