import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import type { ScrapeConfig } from "./scrape-config.ts";

export interface AppMetrics {
	readonly contentType: string;
	readonly body: Buffer;
}

const bytesMax = 10 * 1024 * 1024;
/** Where the scraper does not say how long it waits: Prometheus' default. */
const timeoutDefaultMs = 10_000;
const passedOn = ["accept", "user-agent", "x-prometheus-scrape-timeout-seconds"] as const;

const text = "text/plain; version=0.0.4; charset=utf-8";

/** Asks the application as the scraper asked us. Rejects with what is wrong; a body beyond 10 MiB is wrong. */
export async function scrapeApplication({ port, path }: ScrapeConfig, headers: IncomingHttpHeaders): Promise<AppMetrics> {
	const timeoutMs = scrapeTimeoutMs(headers["x-prometheus-scrape-timeout-seconds"]);
	const signal = AbortSignal.timeout(timeoutMs);
	const sent = Object.fromEntries(passedOn.flatMap((name) => (typeof headers[name] === "string" ? [[name, headers[name]]] : [])));
	try {
		const response = await send(port, path, sent, signal);
		if (response.statusCode !== 200) {
			response.resume();
			throw new Error(`status ${response.statusCode ?? 0}`);
		}
		return { contentType: negotiate(response.headers["content-type"] ?? ""), body: await readAll(response) };
	} catch (error) {
		const reason = signal.aborted ? `no answer within ${timeoutMs} ms` : (error as Error).message;
		throw new Error(`http://localhost:${port}${path}: ${reason}`, { cause: error });
	}
}

export const textFormat = text;

function send(port: number, path: string, headers: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<IncomingMessage> {
	return new Promise((resolve, reject) => {
		const options = { host: "localhost", port, path, headers: headers as Record<string, string>, agent: false as const, signal, autoSelectFamily: true };
		const asked = request(options, resolve);
		asked.on("error", reject);
		asked.end();
	});
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
	const parts: Buffer[] = [];
	let length = 0;
	for await (const part of response) {
		parts.push(part as Buffer);
		length += (part as Buffer).length;
		if (length > bytesMax) {
			response.destroy();
			throw new Error(`more than ${bytesMax} bytes`);
		}
	}
	return Buffer.concat(parts);
}

function scrapeTimeoutMs(header: string | string[] | undefined): number {
	const seconds = Number(header);
	return Number.isFinite(seconds) && seconds > 0 && seconds < 3600 ? Math.ceil(seconds * 1000) : timeoutDefaultMs;
}

/** The application's format is the whole answer's: only OpenMetrics differs, and ends with a mark, so it comes last. */
function negotiate(contentType: string): string {
	const [type = "", ...parameters] = contentType.split(";").map((part) => part.trim());
	if (type.toLowerCase() !== "application/openmetrics-text") return text;
	const version = parameters.find((parameter) => parameter.startsWith("version="))?.slice(8) ?? "0.0.1";
	return version === "1.0.0" || version === "0.0.1" ? `application/openmetrics-text; version=${version}; charset=utf-8` : text;
}
