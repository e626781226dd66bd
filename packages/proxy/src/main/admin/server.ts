import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { SocketAddress } from "../../config/sockets.ts";
import { addressText } from "../slots.ts";
import { foreignTo } from "./foreign-request.ts";
import { type AdminContext, type AdminReply, type AdminRequest, adminRoutes } from "./routes.ts";

export interface AdminServer {
	/** `ip:port`, or the path of the socket. */
	readonly address: string;
	close(): Promise<void>;
}

const connectionsMax = 256;

/** Envoy's admin interface. It can stop the process and shows the configuration: it listens where it is told, nowhere else. */
export async function startAdmin({ address, context }: { readonly address: SocketAddress; readonly context: AdminContext }): Promise<AdminServer> {
	const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, (request, response) => {
		answer(request, response, context).catch((error: unknown) => {
			context.logger.error("admin request failed", { url: request.url, error });
			if (!response.headersSent) response.writeHead(500);
			response.end("internal error\n");
		});
	});
	server.maxConnections = connectionsMax;
	server.on("clientError", (_, socket) => socket.destroy());
	await new Promise<void>((resolve, reject) => {
		server.once("error", (error) => reject(new Error(`admin address ${addressText(address)}: ${error.message}`)));
		if (address.kind === "pipe") server.listen(address.path, resolve);
		else server.listen({ host: address.address, port: address.port }, resolve);
	});
	server.on("error", (error) => context.logger.error("admin server", { error }));
	const bound = server.address() as AddressInfo | string;
	const text = typeof bound === "string" ? bound : addressText({ kind: "ip", address: bound.address, port: bound.port });
	return {
		address: text,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

async function answer(request: IncomingMessage, response: ServerResponse, context: AdminContext): Promise<void> {
	// As Envoy, which merges slashes: istioctl puts one before a path that has its own.
	const url = new URL((request.url ?? "/").replace(/^\/+/, "/"), "http://admin");
	const route = adminRoutes.get(url.pathname);
	const query = route?.takesForm === true && url.searchParams.size === 0 ? await readForm(request) : url.searchParams;
	// Other bodies are read and dropped.
	request.resume();
	const reply =
		route === undefined
			? { status: 404, body: `invalid path. admin commands are:\n${listOfRoutes()}` }
			: ((route.mutates ? refuseForeign(request) : undefined) ?? (await run(route, { query, method: request.method ?? "GET" }, context)));
	const { status = 200, type = "text/plain; charset=UTF-8", body } = reply;
	response.writeHead(status, { "content-type": type, "cache-control": "no-cache, max-age=0", "x-content-type-options": "nosniff", server: "envoy" });
	if (request.method === "HEAD") return void response.end();
	if (typeof body === "string") return void response.end(body);
	for (const part of body) {
		if (response.destroyed) return;
		if (!response.write(part)) await new Promise<void>((resolve) => void response.once("drain", resolve).once("close", resolve));
	}
	response.end();
}

const formBytesMax = 64 * 1024;

/** What a form says; nothing where the body is none, or too long. */
async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
	if (request.headers["content-type"] !== "application/x-www-form-urlencoded") return new URLSearchParams();
	const pieces: Buffer[] = [];
	let bytes = 0;
	for await (const piece of request as AsyncIterable<Buffer>) {
		bytes += piece.length;
		if (bytes <= formBytesMax) pieces.push(piece);
	}
	return new URLSearchParams(bytes > formBytesMax ? "" : Buffer.concat(pieces).toString("utf8"));
}

/** Only whoever is there to ask may change something: not who can make somebody ask who is. */
function refuseForeign({ headers }: IncomingMessage): AdminReply | undefined {
	const reason = foreignTo(headers);
	return reason === undefined ? undefined : { status: 403, body: `refused: ${reason}\n` };
}

async function run(
	route: { readonly mutates: boolean; readonly handle: (request: AdminRequest, context: AdminContext) => AdminReply | Promise<AdminReply> },
	request: AdminRequest,
	context: AdminContext,
): Promise<AdminReply> {
	if (route.mutates && request.method !== "POST") return { status: 405, body: `Method ${request.method} not allowed, POST required.` };
	if (!route.mutates && request.method !== "GET" && request.method !== "HEAD" && request.method !== "POST")
		return { status: 405, body: `Method ${request.method} not allowed, GET required.` };
	return route.handle(request, context);
}

export function listOfRoutes(): string {
	return [...adminRoutes].map(([path, { mutates, help }]) => `  ${path}${mutates ? " (POST)" : ""}: ${help}\n`).join("");
}
