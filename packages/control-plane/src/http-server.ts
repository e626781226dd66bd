import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { handleApi } from "./api.ts";
import { debugPages } from "./debug.ts";
import { type HttpContext, sendJson, sendReadiness, sendText, versionText } from "./http-context.ts";
import { isLoopback, splitAddress } from "./options.ts";

export async function startHttpServer(context: HttpContext): Promise<{ readonly address: string; close(done: () => void): void }> {
	const { host, port } = splitAddress(context.http);
	const server = createServer((request, response) => {
		answer(context, request, response).catch((error: unknown) => {
			context.logger.error("request failed", { path: request.url ?? "", error });
			if (!response.headersSent) sendText(response, 500, "internal error\n");
		});
	});
	server.requestTimeout = 30_000;
	await new Promise<void>((resolve, reject) => {
		server.once("error", (error) => reject(new Error(`cannot listen on ${context.http}: ${error.message}`)));
		server.listen(port, host, resolve);
	});
	return {
		address: `${host}:${(server.address() as AddressInfo).port}`,
		close(done) {
			server.close(() => done());
			server.closeAllConnections();
		},
	};
}

async function answer(context: HttpContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
	// istioctl asks for `//version`.
	const url = new URL((request.url ?? "/").replace(/^\/+/, "/"), "http://localhost");
	const path = url.pathname;
	if (path.startsWith("/api/v1/")) return handleApi(context, request, response, url);
	if (request.method !== "GET" && request.method !== "HEAD") return sendText(response, 405, "method not allowed\n");
	if (path === "/ready" || path === "/healthz/ready") return sendReadiness(response, context.waitingFor());
	if (path === "/version") return sendText(response, 200, versionText);
	if (path === "/metrics") {
		response.writeHead(200, { "content-type": context.registry.contentType });
		response.end(await context.registry.metrics());
		return;
	}
	const page = Object.hasOwn(debugPages, path) ? debugPages[path] : undefined;
	if (!page) return sendText(response, 404, `no such page: ${path}\n`);
	if (!(await mayDebug(context, request)))
		return sendText(response, 401, "debug pages are for loopback (kubectl port-forward) or a token of the control plane's namespace\n");
	const content = page(context, url);
	if (content === undefined && path === "/debug/ca") return sendText(response, 404, "this control plane has no certificate authority of its own\n");
	if (content === undefined) return sendText(response, 404, `nothing is known of proxy ${url.searchParams.get("proxyID") ?? ""}\n`);
	sendJson(response, 200, content);
}

/** By the address that TCP proves; a port-forward ends inside the pod. */
async function mayDebug(context: HttpContext, { socket, headers }: IncomingMessage): Promise<boolean> {
	if (isLoopback((socket.remoteAddress ?? "").replace(/^::ffff:/, ""))) return true;
	const token = /^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1];
	return token !== undefined && context.mayDebug(token);
}
