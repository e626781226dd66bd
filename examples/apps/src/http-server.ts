import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type AppContext, listenAddress, type RunningApp } from "./environment.ts";
import { matchRoute, type Route } from "./route-table.ts";

export type AppRequest = {
	readonly method: string;
	readonly path: string;
	readonly query: URLSearchParams;
	/** Request target as it came, for apps that echo it. */
	readonly target: string;
	readonly headers: IncomingHttpHeaders;
	/** Names and values alternating, in wire order and case. */
	readonly rawHeaders: readonly string[];
	readonly body: Buffer;
	readonly remoteAddress: string;
	/** Aborts when the caller goes away, so that delays and upstream calls stop. */
	readonly signal: AbortSignal;
};

export type AppResponse = {
	readonly status: number;
	readonly headers?: Readonly<Record<string, string | readonly string[]>>;
	readonly body?: string | Uint8Array | AsyncIterable<Uint8Array | string>;
};

export type HttpAppOptions = {
	readonly defaultPort: number;
	readonly routes: readonly Route[];
	/** Largest request body taken, in bytes; a longer one is answered 413. */
	readonly bodyBytesMax?: number;
};

const bodyBytesMaxDefault = 1_048_576;
const drainTimeoutMs = 10_000;
// Sidecars keep idle upstream connections for an hour; closing first would race with their next request.
const keepAliveTimeoutMs = 3_610_000;

/** Starts an HTTP app on HOST:PORT with `/healthz` beside its own routes. */
export async function startHttpApp(context: AppContext, options: HttpAppOptions): Promise<RunningApp> {
	const routes = [...options.routes, { method: "GET", path: "/healthz", handler: () => text(200, "ok\n") }];
	const server = createServer((request, response) => {
		answer(routes, options.bodyBytesMax ?? bodyBytesMaxDefault, request, response).catch((error: unknown) => {
			if (!response.destroyed) context.log(`request failed: ${errorText(error)}`);
			failLate(response);
		});
	});
	server.keepAliveTimeout = keepAliveTimeoutMs;
	server.on("clientError", (_error, socket) => {
		if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
		else socket.destroy();
	});
	const { host, port } = listenAddress(context.env, options.defaultPort);
	await listening(server, host, port);
	const address = server.address() as AddressInfo;
	context.log(`listening on ${host}:${address.port}`);
	return { ports: [address.port], close: () => closeServer(server) };
}

export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): AppResponse {
	return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(value) };
}

export function text(status: number, body: string): AppResponse {
	return { status, headers: { "content-type": "text/plain; charset=utf-8" }, body };
}

export function html(status: number, body: string): AppResponse {
	return { status, headers: { "content-type": "text/html; charset=utf-8" }, body };
}

export function errorText(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

async function answer(routes: readonly Route[], bodyBytesMax: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const target = request.url ?? "/";
	const [path, search] = splitTarget(target);
	const match = matchRoute(routes, request.method ?? "GET", path);
	if (match.kind === "miss") return send(response, text(404, `no such path: ${path}\n`));
	if (match.kind === "wrong-method") return send(response, { ...text(405, "method not allowed\n"), headers: { allow: match.allow.join(", ") } });
	const body = await readBody(request, bodyBytesMax);
	if (body === undefined) {
		return send(response, { status: 413, headers: { connection: "close" }, body: `request body over ${bodyBytesMax} bytes\n` });
	}
	const abort = new AbortController();
	response.once("close", () => abort.abort());
	const appRequest: AppRequest = {
		method: request.method ?? "GET",
		path,
		query: new URLSearchParams(search),
		target,
		headers: request.headers,
		rawHeaders: request.rawHeaders,
		body,
		remoteAddress: request.socket.remoteAddress ?? "",
		signal: abort.signal,
	};
	await send(response, await match.handler(appRequest, match.parameters));
}

/** Path and query of an origin-form or absolute-form target (RFC 9112 §3.2). */
function splitTarget(target: string): readonly [string, string] {
	const scheme = target.indexOf("://");
	const slash = scheme > 0 && !target.startsWith("/") ? target.indexOf("/", scheme + 3) : 0;
	const origin = slash < 0 ? "/" : target.slice(slash);
	const mark = origin.indexOf("?");
	return mark < 0 ? [origin, ""] : [origin.slice(0, mark), origin.slice(mark + 1)];
}

async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of request as AsyncIterable<Buffer>) {
		bytes += chunk.length;
		if (bytes > bytesMax) return undefined;
		chunks.push(chunk);
	}
	return Buffer.concat(chunks, bytes);
}

async function send(response: ServerResponse, reply: AppResponse): Promise<void> {
	const body = reply.body ?? "";
	for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
	response.statusCode = reply.status;
	if (typeof body === "string" || body instanceof Uint8Array) {
		const bytes = typeof body === "string" ? Buffer.from(body) : body;
		// RFC 9110 §8.6: no content-length on 1xx and 204; 304 may carry the one of a 200, which nobody here knows.
		if (reply.status >= 200 && reply.status !== 204 && reply.status !== 304) response.setHeader("content-length", bytes.length);
		response.end(bytes);
		return;
	}
	await pipeline(Readable.from(body), response);
}

function failLate(response: ServerResponse): void {
	if (response.headersSent) response.destroy();
	else response.writeHead(500, { "content-type": "text/plain" }).end("internal error\n");
}

function listening(server: Server, host: string, port: number): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once("error", reject);
		server.listen(port, host, () => {
			server.off("error", reject);
			resolve();
		});
	});
}

function closeServer(server: Server): Promise<void> {
	return new Promise((resolve) => {
		const hard = setTimeout(() => server.closeAllConnections(), drainTimeoutMs);
		server.close(() => {
			clearTimeout(hard);
			resolve();
		});
		server.closeIdleConnections();
	});
}
