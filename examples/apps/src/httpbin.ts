import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { type AppContext, instanceName, type RunningApp } from "./environment.ts";
import { type AppRequest, type AppResponse, html, json, startHttpApp, text } from "./http-server.ts";
import { badRequest, bodyValues, cookiesOf, headerLists, originOf, parameterLists, requestValues } from "./httpbin-values.ts";
import type { Handler, Route } from "./route-table.ts";

const delaySecondsMax = 10;
const linesMax = 100;
const bytesMax = 10_485_760;
const bodyBytesMax = 16_777_216;
const streamChunkBytes = 10_240;
const bodyMethods = ["POST", "PUT", "PATCH", "DELETE"] as const;

/** The httpbin sample, on 8080: the paths that Istio's tasks and everyday debugging use. */
export function startHttpbin(context: AppContext): Promise<RunningApp> {
	return startHttpApp(context, { defaultPort: 8080, bodyBytesMax, routes: [...requestRoutes, ...replyRoutes, ...dataRoutes(context)] });
}

function bodyHandler(request: AppRequest): AppResponse {
	return json(200, bodyValues(request));
}

const status: Handler = (_request, parameters) =>
	withCount(parameters.get("code"), 599, (code) => {
		if (code < 200) return badRequest("the status must be from 200 to 599");
		if (code === 418) return text(418, "I'm a teapot!");
		const redirects = code >= 301 && code <= 308 && code !== 304;
		return { status: code, ...(redirects ? { headers: { location: "/redirect/1" } } : {}) };
	});

const delayed: Handler = async (request, parameters) => {
	const seconds = Number((parameters.get("seconds") ?? "").replace(/s$/, ""));
	if (!Number.isFinite(seconds) || seconds < 0 || seconds > delaySecondsMax) return badRequest(`the delay must be from 0 to ${delaySecondsMax} seconds`);
	await delay(seconds * 1000, undefined, { signal: request.signal });
	return json(200, bodyValues(request));
};

function responseHeaders(request: AppRequest): AppResponse {
	const lists = parameterLists(request.query);
	const safe = Object.entries(lists).every(([name, values]) => /^[A-Za-z0-9-]+$/.test(name) && values.every((value) => /^[\t\x20-\x7e]*$/.test(value)));
	if (!safe) return badRequest("header names and values must be plain ASCII");
	return { status: 200, headers: { "content-type": "application/json", ...lists }, body: JSON.stringify(lists) };
}

function setCookies(request: AppRequest): AppResponse {
	const cookies = [...request.query].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}; Path=/; HttpOnly`);
	return { status: 302, headers: { location: "/cookies", "set-cookie": cookies } };
}

const redirect: Handler = (_request, parameters) =>
	withCount(parameters.get("count"), linesMax, (count) => ({
		status: 302,
		headers: { location: count <= 1 ? "/get" : `/relative-redirect/${count - 1}` },
	}));

function redirectTo(request: AppRequest): AppResponse {
	const url = request.query.get("url") ?? "";
	const code = Number(request.query.get("status_code") ?? "302");
	// Paths only: a sample must not become a way to send people to other sites.
	if (!/^\/(?!\/)[\x21-\x7e]*$/.test(url)) return badRequest("url must be a path on this host");
	if (!Number.isInteger(code) || code < 300 || code > 399) return badRequest("status_code must be from 300 to 399");
	return { status: code, headers: { location: url } };
}

const streamLines: Handler = (request, parameters) =>
	withCount(parameters.get("lines"), linesMax, (count) => ({
		status: 200,
		headers: { "content-type": "application/json" },
		body: (async function* () {
			for (let id = 0; id < count; id++) yield `${JSON.stringify({ id, ...requestValues(request) })}\n`;
		})(),
	}));

const streamBytes: Handler = (_request, parameters) =>
	withCount(parameters.get("bytes"), bytesMax, (count) => ({
		status: 200,
		headers: { "content-type": "application/octet-stream" },
		body: (async function* () {
			const bytes = patternBytes(count);
			for (let start = 0; start < count; start += streamChunkBytes) yield bytes.subarray(start, start + streamChunkBytes);
		})(),
	}));

function bytesReply(body: Uint8Array): AppResponse {
	return { status: 200, headers: { "content-type": "application/octet-stream" }, body };
}

/** The same bytes every time, so that a test can tell a lost byte from a changed one. */
function patternBytes(count: number): Buffer {
	const bytes = Buffer.allocUnsafe(count);
	for (let index = 0; index < count; index++) bytes[index] = (index * 131) & 0xff;
	return bytes;
}

function gzipped(request: AppRequest): AppResponse {
	const body = gzipSync(JSON.stringify({ ...requestValues(request), gzipped: true }));
	return { status: 200, headers: { "content-type": "application/json", "content-encoding": "gzip" }, body };
}

const basicAuth: Handler = (request, parameters) => {
	const user = parameters.get("user") ?? "";
	const wanted = `Basic ${Buffer.from(`${user}:${parameters.get("password") ?? ""}`).toString("base64")}`;
	if (request.headers.authorization === wanted) return json(200, { authenticated: true, user });
	return { ...json(401, { authenticated: false, user: "" }), headers: { "www-authenticate": 'Basic realm="httpbin"' } };
};

function bearer(request: AppRequest): AppResponse {
	const [scheme, token] = (request.headers.authorization ?? "").split(" ");
	if (scheme === "Bearer" && token !== undefined && token !== "") return json(200, { authenticated: true, token });
	return { status: 401, headers: { "www-authenticate": "Bearer" } };
}

function withCount(word: string | undefined, max: number, reply: (count: number) => AppResponse): AppResponse {
	const count = Number(word);
	return Number.isInteger(count) && count >= 0 && count <= max ? reply(count) : badRequest(`expected a whole number from 0 to ${max}`);
}

const requestRoutes: readonly Route[] = [
	{ method: "GET", path: "/get", handler: (request) => json(200, requestValues(request)) },
	{ method: "GET", path: "/headers", handler: (request) => json(200, { headers: headerLists(request) }) },
	{ method: "GET", path: "/ip", handler: (request) => json(200, { origin: originOf(request) }) },
	{ method: "GET", path: "/user-agent", handler: (request) => json(200, { "user-agent": request.headers["user-agent"] ?? "" }) },
	{ method: "GET", path: "/cookies", handler: (request) => json(200, { cookies: cookiesOf(request) }) },
	{ method: "GET", path: "/cookies/set", handler: setCookies },
	...bodyMethods.map((method) => ({ method, path: `/${method.toLowerCase()}`, handler: bodyHandler })),
	{ method: "*", path: "/anything", handler: bodyHandler },
	{ method: "*", path: "/anything/*", handler: bodyHandler },
	{ method: "GET", path: "/basic-auth/:user/:password", handler: basicAuth },
	{ method: "GET", path: "/bearer", handler: bearer },
];

const replyRoutes: readonly Route[] = [
	{ method: "*", path: "/status/:code", handler: status },
	{ method: "*", path: "/delay/:seconds", handler: delayed },
	{ method: "GET", path: "/response-headers", handler: responseHeaders },
	{ method: "POST", path: "/response-headers", handler: responseHeaders },
	{ method: "GET", path: "/redirect/:count", handler: redirect },
	{ method: "GET", path: "/relative-redirect/:count", handler: redirect },
	{ method: "*", path: "/redirect-to", handler: redirectTo },
	{ method: "GET", path: "/stream/:lines", handler: streamLines },
	{ method: "GET", path: "/stream-bytes/:bytes", handler: streamBytes },
	{
		method: "GET",
		path: "/bytes/:bytes",
		handler: (_request, parameters) => withCount(parameters.get("bytes"), bytesMax, (count) => bytesReply(patternBytes(count))),
	},
];

const dataRoutes = (context: AppContext): readonly Route[] => [
	{
		method: "GET",
		path: "/",
		handler: () => html(200, "<!DOCTYPE html><title>httpbin</title><h1>httpbin</h1><p>Try /get, /headers, /status/418, /delay/2.</p>"),
	},
	{
		method: "GET",
		path: "/html",
		handler: () => html(200, "<!DOCTYPE html><title>A page</title><h1>A page</h1><p>Some words to look at.</p>"),
	},
	{ method: "GET", path: "/json", handler: () => json(200, { title: "A document", items: [{ name: "first" }, { name: "second" }] }) },
	{ method: "GET", path: "/uuid", handler: () => json(200, { uuid: randomUUID() }) },
	{ method: "GET", path: "/hostname", handler: () => json(200, { hostname: instanceName(context.env) }) },
	{ method: "GET", path: "/gzip", handler: gzipped },
	{ method: "GET", path: "/robots.txt", handler: () => text(200, "User-agent: *\nDisallow: /deny\n") },
];
