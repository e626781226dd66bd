import { constants } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Caller, ServerIdentity } from "@weft/citadel";
import type { Logger } from "@weft/runtime";
import { sendReadiness, sendText } from "./http-context.ts";
import { type BindAddress, splitAddress } from "./options.ts";
import type { TrustedRoots } from "./trusted-roots.ts";

export interface HttpsRequest {
	readonly method: string;
	readonly url: URL;
	readonly headers: IncomingHttpHeaders;
	/** Who calls: a certificate that leads to the mesh's roots, or the bearer token that was sent; nothing is believed of it yet. */
	readonly caller: Caller;
	/** Rejects with BodyTooLarge where there are more bytes. */
	readBody(bytesMax: number): Promise<string>;
}

export interface HttpsAnswer {
	readonly status: number;
	/** Of a 2xx: JSON; else a text for people. */
	readonly body: string;
}

/** Answers requests under a path. */
export interface HttpsRoute {
	/** The path itself, and everything below it: `/inject` answers `/inject/cluster/c1`, too. */
	readonly path: string;
	/** Throws only where there is a mistake of ours. */
	handle(request: HttpsRequest): HttpsAnswer | Promise<HttpsAnswer>;
}

export class BodyTooLarge extends Error {
	readonly bytesMax: number;
	constructor(bytesMax: number) {
		super(`the body is larger than ${bytesMax} bytes`);
		this.bytesMax = bytesMax;
	}
}

export interface HttpsServerOptions {
	readonly address: BindAddress;
	readonly identity: ServerIdentity;
	/** What certificates of clients must lead to. */
	readonly roots: TrustedRoots;
	readonly routes: readonly HttpsRoute[];
	readonly waitingFor: () => readonly string[];
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

export interface HttpsServer {
	readonly address: string;
	/** Resolves when it is closed, after the signal. */
	readonly closed: Promise<void>;
}

/** At one time, of each route: a flood of one must not keep the others from being answered. */
const requestsMax = 64;
const bearer = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i;

/** Webhooks and registrations over TLS, with the control plane's own certificate as it is renewed. Rejects when the port is taken. */
export async function startHttpsServer(options: HttpsServerOptions): Promise<HttpsServer> {
	const { identity, roots, logger, signal } = options;
	const { host, port } = splitAddress(options.address);
	const working: Working = new Map();
	const server = createServer(tlsOf(options), (request, response) => {
		answer(options, working, request, response).catch((error: unknown) => {
			logger.error("request failed", { path: request.url ?? "", error });
			if (!response.headersSent) sendText(response, 500, "internal error\n");
		});
	});
	// Longer than the API server waits at most.
	server.requestTimeout = 30_000;
	server.headersTimeout = 10_000;
	// API servers keep idle connections for 90 s. Were we the first to close one, they could send the next review into it, and fail it: a POST is not repeated.
	server.keepAliveTimeout = 120_000;
	server.on("tlsClientError", (error) => logger.debug("TLS failed", { error }));
	const renew = () => server.setSecureContext(tlsOf(options));
	const leave = [identity.onRotated(renew), roots.onChanged(renew)];
	await new Promise<void>((resolve, reject) => {
		server.once("error", (error) => reject(new Error(`cannot listen on ${options.address}: ${error.message}`)));
		server.listen(port, host, resolve);
	});
	return {
		address: `${host}:${(server.address() as AddressInfo).port}`,
		closed: new Promise((resolve) => {
			signal.addEventListener(
				"abort",
				() => {
					for (const stop of leave) stop();
					close(server, resolve);
				},
				{ once: true },
			);
		}),
	};
}

/** A client may show a certificate, and need not: the API server has none of this mesh. */
function tlsOf({ identity: { leaf }, roots }: HttpsServerOptions): ServerOptions {
	return {
		cert: leaf.chainPem.join(""),
		key: leaf.privateKeyPem,
		ca: [...roots.list()],
		minVersion: "TLSv1.2",
		requestCert: true,
		rejectUnauthorized: false,
		// A resumed session would be believed by roots of yesterday.
		secureOptions: constants.SSL_OP_NO_TICKET,
	};
}

function close(server: Server, done: () => void): void {
	server.close(() => done());
	server.closeIdleConnections();
	// Requests in work are answered first.
	setTimeout(() => server.closeAllConnections(), 2_000).unref();
}

/** How many requests each route is at work on. */
type Working = Map<HttpsRoute, number>;

async function answer(options: HttpsServerOptions, working: Working, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const url = new URL(request.url ?? "/", "https://localhost");
	if (url.pathname === "/ready" && request.method === "GET") return sendReadiness(response, options.waitingFor());
	const route = options.routes.find(({ path }) => url.pathname === path || url.pathname.startsWith(`${path}/`));
	if (!route) return sendText(response, 404, `nothing is at ${url.pathname}\n`);
	const before = working.get(route) ?? 0;
	if (before >= requestsMax) return sendText(response, 503, "too many requests at one time\n");
	working.set(route, before + 1);
	try {
		const { status, body } = await route.handle(requestOf(request, url));
		if (status < 200 || status > 299) return sendText(response, status, body);
		response.writeHead(status, { "content-type": "application/json", "x-content-type-options": "nosniff" });
		response.end(body);
	} catch (error) {
		if (!(error instanceof BodyTooLarge)) throw error;
		response.setHeader("connection", "close");
		sendText(response, 413, `${error.message}\n`);
	} finally {
		working.set(route, (working.get(route) ?? 1) - 1);
	}
}

function requestOf(request: IncomingMessage, url: URL): HttpsRequest {
	const socket = request.socket as TLSSocket;
	// Two authorization headers leave open which one counts: neither does.
	const [authorization, ...others] = request.headersDistinct["authorization"] ?? [];
	return {
		method: request.method ?? "GET",
		url,
		headers: request.headers,
		caller: {
			verifiedCertificate: socket.authorized ? socket.getPeerX509Certificate() : undefined,
			bearerToken: others.length === 0 ? bearer.exec(authorization ?? "")?.[1] : undefined,
			remoteAddress: socket.remoteAddress ?? "",
		},
		readBody: (bytesMax) => readBody(request, bytesMax),
	};
}

async function readBody(request: IncomingMessage, bytesMax: number): Promise<string> {
	if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw new BodyTooLarge(bytesMax);
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of request as AsyncIterable<Buffer>) {
		bytes += chunk.length;
		if (bytes > bytesMax) throw new BodyTooLarge(bytesMax);
		chunks.push(chunk);
	}
	return Buffer.concat(chunks).toString("utf8");
}
