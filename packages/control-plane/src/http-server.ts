import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { handleApi } from "./api.ts";
import { answerDebug, debugIndex, mayAsk } from "./debug/pages.ts";
import { type HttpContext, sendReadiness, sendText, versionText } from "./http-context.ts";
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
	if (context.hidesDebug !== true && (path === "/debug" || path.startsWith("/debug/"))) return debug(context, request, response, url);
	sendText(response, 404, `no such page: ${path}\n`);
}

async function debug(context: HttpContext, request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
	const caller = await callerOf(context, request);
	if (caller === undefined)
		return sendText(response, 401, "debug pages are for loopback (kubectl port-forward), or a token for audience istio-ca as a bearer token\n");
	const name = url.pathname.slice("/debug/".length);
	if (!mayAsk(context, caller.namespace, name)) return sendText(response, 403, "this debug page is for callers of the control plane's namespace\n");
	const { status, type, body } = name === "" ? debugIndex() : answerDebug(context, caller.namespace, name, url.searchParams);
	response.writeHead(status, { "content-type": type, "x-content-type-options": "nosniff" });
	response.end(body);
}

/** By the address that TCP proves: a port-forward ends inside the pod, and sees all (undefined). Whoever else must say who it is. */
async function callerOf(context: HttpContext, { socket, headers }: IncomingMessage): Promise<{ readonly namespace: string | undefined } | undefined> {
	if (isLoopback((socket.remoteAddress ?? "").replace(/^::ffff:/, ""))) return { namespace: undefined };
	const token = /^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1];
	const namespace = token === undefined ? undefined : await context.namespaceOf(token);
	return namespace === undefined ? undefined : { namespace };
}
