import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { KeyedLeaf, ServerIdentity } from "@weft/citadel";
import type { Logger } from "@weft/runtime";
import { sendReadiness, sendText } from "../http-context.ts";
import { type BindAddress, splitAddress } from "../options.ts";
import type { WebhookHandler } from "./admission-review.ts";

export interface WebhookServerOptions {
	readonly address: BindAddress;
	readonly identity: ServerIdentity;
	readonly handlers: readonly WebhookHandler[];
	readonly waitingFor: () => readonly string[];
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

export interface WebhookServer {
	readonly address: string;
	/** Resolves when it is closed, after the signal. */
	readonly closed: Promise<void>;
}

/** An object and its predecessor, each of what etcd takes at most, twice over for their JSON. */
const bodyBytesMax = 8 << 20;
const bodiesMax = 64;

/** The admission webhooks over TLS, with the control plane's own certificate as it is renewed. Rejects when the port is taken. */
export async function startWebhookServer(options: WebhookServerOptions): Promise<WebhookServer> {
	const { identity, logger, signal } = options;
	const { host, port } = splitAddress(options.address);
	let bodies = 0;
	const server = createServer({ ...tlsOf(identity.leaf), minVersion: "TLSv1.2" }, (request, response) => {
		if (bodies >= bodiesMax) return sendText(response, 503, "too many reviews at one time\n");
		bodies++;
		answer(options, request, response)
			.catch((error: unknown) => {
				logger.error("webhook failed", { path: request.url ?? "", error });
				if (!response.headersSent) sendText(response, 500, "internal error\n");
			})
			.finally(() => bodies--);
	});
	// Longer than the API server waits at most.
	server.requestTimeout = 30_000;
	server.headersTimeout = 10_000;
	server.on("tlsClientError", (error) => logger.debug("webhook: TLS failed", { error }));
	const stop = identity.onRotated((leaf) => server.setSecureContext(tlsOf(leaf)));
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
					stop();
					close(server, resolve);
				},
				{ once: true },
			);
		}),
	};
}

const tlsOf = ({ chainPem, privateKeyPem }: KeyedLeaf) => ({ cert: chainPem.join(""), key: privateKeyPem });

function close(server: Server, done: () => void): void {
	server.close(() => done());
	server.closeIdleConnections();
	// Reviews in work are answered first.
	setTimeout(() => server.closeAllConnections(), 2_000).unref();
}

async function answer(options: WebhookServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const url = new URL(request.url ?? "/", "https://localhost");
	if (url.pathname === "/ready" && request.method === "GET") return sendReadiness(response, options.waitingFor());
	const handler = options.handlers.find(({ path }) => url.pathname === path || url.pathname.startsWith(`${path}/`));
	if (!handler) return sendText(response, 404, `no such webhook: ${url.pathname}\n`);
	if (request.method !== "POST") return sendText(response, 405, "method not allowed\n");
	if (!/^application\/json\b/.test(request.headers["content-type"] ?? "")) return sendText(response, 415, "the content type must be application/json\n");
	const body = await readBody(request);
	if (body === undefined) {
		response.setHeader("connection", "close");
		return sendText(response, 413, `the AdmissionReview is larger than ${bodyBytesMax} bytes\n`);
	}
	const answered = await handler.handle({ body, url });
	if (answered.status !== 200) return sendText(response, answered.status, answered.body);
	response.writeHead(200, { "content-type": "application/json", "x-content-type-options": "nosniff" });
	response.end(answered.body);
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
	if (Number(request.headers["content-length"] ?? 0) > bodyBytesMax) return undefined;
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of request as AsyncIterable<Buffer>) {
		bytes += chunk.length;
		if (bytes > bodyBytesMax) return undefined;
		chunks.push(chunk);
	}
	return Buffer.concat(chunks).toString("utf8");
}
