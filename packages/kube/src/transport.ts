import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { KubeConnection, KubeCredentials } from "./connection.ts";
import { KubeUnreachable } from "./errors.ts";

export interface KubeRequest {
	readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
	readonly path: string;
	readonly query?: Readonly<Record<string, string | undefined>>;
	readonly contentType?: string;
	readonly body?: string;
	readonly signal?: AbortSignal;
	/** Until the whole answer is there; for a stream until its end. Default 30 s. */
	readonly timeoutMs?: number;
}

export interface KubeResponse {
	readonly status: number;
	readonly body: string;
	readonly retryAfter: string | undefined;
}

export interface KubeStream {
	readonly status: number;
	readonly retryAfter: string | undefined;
	/** Ends with an error when the connection breaks, the time is over or the signal aborts. */
	readonly body: AsyncIterable<Buffer>;
}

/** HTTP to one API server. Rejects with KubeUnreachable where there is no whole answer; a status is an answer. */
export interface KubeTransport {
	request(request: KubeRequest): Promise<KubeResponse>;
	open(request: KubeRequest): Promise<KubeStream>;
	close(): void;
}

/** A page of 500 objects of the largest kind that etcd keeps would be more; real ones are a fiftieth of this. */
const bodyBytesMax = 64 << 20;
const timeoutMsDefault = 30_000;
/** Then nine more probes a second apart: a peer that is gone without a word is found out in under half a minute. */
const keepAliveMs = 15_000;

/** HTTP/1.1 over kept-alive connections, one for each watch. */
export function createKubeTransport(connection: KubeConnection): KubeTransport {
	const isSecure = connection.server.protocol === "https:";
	const agent = isSecure ? new HttpsAgent({ keepAlive: true, maxFreeSockets: 8 }) : new HttpAgent({ keepAlive: true, maxFreeSockets: 8 });
	const send = async (request: KubeRequest): Promise<IncomingMessage> => {
		const credentials = await connection.credentials();
		try {
			return await sendOnce(connection.server, agent, credentials, request);
		} catch (error) {
			// The server closed a kept connection while the request was on its way: it has not seen it.
			if (error instanceof StaleConnection) return sendOnce(connection.server, agent, credentials, request);
			throw error;
		}
	};
	return {
		async request(request) {
			const response = await send(request);
			return { status: response.statusCode ?? 0, body: await readBody(response, request), retryAfter: response.headers["retry-after"] };
		},
		async open(request) {
			const response = await send(request);
			return { status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"], body: response };
		},
		close: () => agent.destroy(),
	};
}

async function readBody(response: IncomingMessage, { method, path }: KubeRequest): Promise<string> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	try {
		for await (const chunk of response as AsyncIterable<Buffer>) {
			chunks.push(chunk);
			bytes += chunk.length;
			if (bytes > bodyBytesMax) break;
		}
	} catch (error) {
		throw new KubeUnreachable(`${method} ${path}: the answer broke off`, error);
	}
	if (bytes > bodyBytesMax) throw new Error(`${method} ${path}: the answer is larger than ${bodyBytesMax} bytes`);
	return Buffer.concat(chunks).toString("utf8");
}

class StaleConnection extends Error {}

function sendOnce(server: URL, agent: HttpAgent | HttpsAgent, credentials: KubeCredentials, request: KubeRequest): Promise<IncomingMessage> {
	const { method, path, query = {}, body, contentType = "application/json", timeoutMs = timeoutMsDefault } = request;
	const { headers, agent: proxyAgent, ...tls } = credentials;
	const search = new URLSearchParams(Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined)).toString();
	const timeout = AbortSignal.timeout(timeoutMs);
	const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout;
	return new Promise((resolve, reject) => {
		const options = {
			method,
			host: server.hostname.replace(/^\[|\]$/g, ""),
			port: server.port || (server.protocol === "https:" ? 443 : 80),
			path: `${server.pathname.replace(/\/$/, "")}${path}${search === "" ? "" : `?${search}`}`,
			agent: proxyAgent ?? agent,
			headers: {
				accept: "application/json",
				"user-agent": "weft-control-plane",
				...(body !== undefined && { "content-type": contentType, "content-length": Buffer.byteLength(body) }),
				...headers,
			},
			signal,
			...tls,
		};
		const sent: ClientRequest = server.protocol === "https:" ? httpsRequest(options, resolve) : httpRequest(options, resolve);
		sent.on("socket", (socket) => socket.setKeepAlive(true, keepAliveMs));
		sent.on("error", (error: NodeJS.ErrnoException) => {
			const isStale = sent.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE") && !signal.aborted;
			if (isStale) return reject(new StaleConnection(error.message, { cause: error }));
			if (request.signal?.aborted) return reject(error);
			reject(new KubeUnreachable(`${method} ${path}: ${timeout.aborted ? `no answer within ${timeoutMs} ms` : error.message}`, error));
		});
		sent.end(body);
	});
}
