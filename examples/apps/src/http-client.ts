import { Agent, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions, request } from "node:http";
import { type Environment, textFrom } from "./environment.ts";

export type ClientRequest = {
	/** Absolute `http://host[:port]/path`. */
	readonly url: string;
	readonly method?: string;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: Uint8Array;
	/** Limit for the whole exchange, connecting included. */
	readonly timeoutMs: number;
	readonly signal?: AbortSignal;
};

export type ClientResponse = {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	readonly body: Buffer;
};

export type HttpClient = {
	/** @throws Error when no complete response came in time (the message says why). */
	readonly send: (request: ClientRequest) => Promise<ClientResponse>;
	readonly close: () => void;
};

const socketsMax = 256;
const responseBytesMax = 67_108_864;

/** A keep-alive client that goes through HTTP_PROXY, in absolute form (RFC 9112 §3.2.2), unless NO_PROXY names the host. */
export function createHttpClient(env: Environment): HttpClient {
	const agent = new Agent({ keepAlive: true, maxSockets: socketsMax, maxFreeSockets: socketsMax });
	const proxyText = textFrom(env, "HTTP_PROXY", textFrom(env, "http_proxy", ""));
	const proxy = proxyText === "" ? undefined : new URL(proxyText);
	const bypass = parseNoProxy(textFrom(env, "NO_PROXY", textFrom(env, "no_proxy", "")));
	return {
		send: (wanted) => {
			const url = new URL(wanted.url);
			const via = proxy !== undefined && !matchNoProxy(bypass, url.hostname, url.port) ? proxy : undefined;
			return exchange(agent, wanted, requestOptions(url, wanted, via), true);
		},
		close: () => agent.destroy(),
	};
}

/** Comma separated hosts, `.suffix`es or `*`, each with an optional port. */
export function parseNoProxy(list: string): readonly string[] {
	return list
		.split(",")
		.map((entry) => entry.trim().toLowerCase())
		.filter((entry) => entry !== "");
}

/** Whether a host is to be reached without the proxy; a bare domain covers its subdomains, as curl has it. */
export function matchNoProxy(entries: readonly string[], host: string, port: string): boolean {
	return entries.some((entry) => {
		if (entry === "*") return true;
		const colon = entry.lastIndexOf(":");
		const hasPort = colon > 0 && entry.indexOf(":") === colon;
		if (hasPort && entry.slice(colon + 1) !== (port === "" ? "80" : port)) return false;
		const name = (hasPort ? entry.slice(0, colon) : entry).replace(/^\*?\./, "");
		return host === name || host.endsWith(`.${name}`);
	});
}

function requestOptions(url: URL, wanted: ClientRequest, proxy: URL | undefined): RequestOptions {
	const target = proxy ?? url;
	return {
		host: target.hostname.replace(/^\[|\]$/g, ""),
		port: target.port === "" ? 80 : Number(target.port),
		path: proxy === undefined ? `${url.pathname}${url.search}` : url.href,
		method: wanted.method ?? "GET",
		headers: { host: url.host, ...wanted.headers, ...(wanted.body === undefined ? {} : { "content-length": String(wanted.body.length) }) },
	};
}

async function exchange(agent: Agent, wanted: ClientRequest, options: RequestOptions, mayRetry: boolean): Promise<ClientResponse> {
	const timeout = AbortSignal.timeout(wanted.timeoutMs);
	const signal = wanted.signal === undefined ? timeout : AbortSignal.any([timeout, wanted.signal]);
	const outgoing = request({ ...options, agent, signal });
	try {
		const response = await responseOf(outgoing, wanted.body);
		return { status: response.statusCode ?? 0, headers: response.headers, body: await bodyOf(response) };
	} catch (error) {
		// RFC 9112 §9.3.1: a kept connection may be closed just as it is reused, so an idempotent request gets one more try.
		const idempotent = options.method === "GET" || options.method === "HEAD";
		if (mayRetry && idempotent && outgoing.reusedSocket && !signal.aborted) return exchange(agent, wanted, options, false);
		if (timeout.aborted) throw new Error(`no answer from ${wanted.url} within ${wanted.timeoutMs} ms`, { cause: error });
		throw new Error(`${wanted.url}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
	}
}

function responseOf(outgoing: ReturnType<typeof request>, body: Uint8Array | undefined): Promise<IncomingMessage> {
	return new Promise((resolve, reject) => {
		outgoing.once("response", resolve);
		// Stays for the life of the request: an error after the response must not be unhandled.
		outgoing.on("error", reject);
		outgoing.end(body);
	});
}

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of response as AsyncIterable<Buffer>) {
		bytes += chunk.length;
		if (bytes > responseBytesMax) throw new Error(`response body over ${responseBytesMax} bytes`);
		chunks.push(chunk);
	}
	return Buffer.concat(chunks, bytes);
}
