import { Agent, type IncomingHttpHeaders, request as httpRequest } from "node:http";

export interface HttpAnswer {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	readonly body: string;
	readonly bytes: Buffer;
	readonly ms: number;
}

export interface HttpCall {
	readonly method?: string;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: string | Uint8Array;
	readonly timeoutMs?: number;
	readonly agent?: Agent;
}

const shared = new Agent({ keepAlive: true, maxSockets: 64 });

/** One HTTP request to `host:port`, answered whole. Rejects only when there is no answer. */
export function call(
	address: string,
	path: string,
	{ method = "GET", headers = {}, body, timeoutMs = 20_000, agent = shared }: HttpCall = {},
): Promise<HttpAnswer> {
	const [host = "", port = ""] = address.split(":");
	const started = performance.now();
	return new Promise((resolve, reject) => {
		const request = httpRequest({ host, port, path, method, headers, agent }, (response) => {
			const chunks: Buffer[] = [];
			response.on("data", (chunk: Buffer) => chunks.push(chunk));
			response.on("error", reject);
			response.on("end", () => {
				const bytes = Buffer.concat(chunks);
				resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes.toString("utf8"), bytes, ms: performance.now() - started });
			});
		});
		request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer from ${address}${path} within ${timeoutMs} ms`)));
		request.on("error", reject);
		request.end(body);
	});
}

export function closeConnections(): void {
	shared.destroy();
}

export interface LoadResult {
	readonly sent: number;
	readonly answered: number;
	/** Answers by what `classify` called them. */
	readonly kinds: Readonly<Record<string, number>>;
	/** Requests without any answer. */
	readonly errors: readonly string[];
}

/** Sends requests with `concurrency` at once until `requests` are sent or `signal` aborts, and counts the kinds of answers. */
export async function load(
	send: (n: number) => Promise<HttpAnswer>,
	options: {
		readonly requests: number;
		readonly concurrency: number;
		readonly signal?: AbortSignal;
		readonly classify?: (answer: HttpAnswer) => string;
		readonly pauseMs?: number;
	},
): Promise<LoadResult> {
	const { requests, concurrency, signal, classify = (a) => String(a.status), pauseMs = 0 } = options;
	const kinds: Record<string, number> = Object.create(null) as Record<string, number>;
	const errors: string[] = [];
	let sent = 0;
	let answered = 0;
	const worker = async () => {
		while (sent < requests && !signal?.aborted) {
			const n = sent++;
			try {
				const kind = classify(await send(n));
				answered++;
				kinds[kind] = (kinds[kind] ?? 0) + 1;
			} catch (error) {
				errors.push(error instanceof Error ? error.message : String(error));
			}
			if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
		}
	};
	await Promise.all(Array.from({ length: concurrency }, worker));
	return { sent, answered, kinds: { ...kinds }, errors };
}
