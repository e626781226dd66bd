import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "@weft/runtime";
import { noBody, runProbe } from "./app-probe.ts";
import { scrapeApplication, textFormat } from "./app-metrics.ts";
import type { AgentCounts } from "./agent-metrics.ts";
import { foreignTo } from "../main/admin/foreign-request.ts";
import type { PodOptions } from "./pod-options.ts";

/** What the status server asks the rest of the process. */
export interface StatusSources {
	/** undefined: ready; else why not. */
	readonly notReady: () => string | undefined | Promise<string | undefined>;
	/** The proxy's statistics in the Prometheus format; rejects before there is a proxy. */
	readonly proxyMetrics: (query: URLSearchParams) => Promise<Iterable<string> | string>;
	readonly agentMetrics: () => string;
	readonly counts: AgentCounts;
	/** Inbound connections are to go elsewhere from now on. */
	readonly drain: () => void;
	/** The process is to end as if it had been told by a signal. */
	readonly quit: () => void;
}

export interface StatusServerOptions extends StatusSources {
	readonly pod: PodOptions;
	readonly logger: Logger;
}

export interface StatusServer {
	readonly port: number;
	close(): Promise<void>;
}

const connectionsMax = 256;

type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => void | Promise<void>;

/** Port 15020, as Istio's agent serves it: readiness, merged metrics, the application's probes, drain and end. */
export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
	const { logger, pod } = options;
	const routes = createRoutes(options);
	const probe = probeHandler(options);
	const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 60_000 }, (request, response) => {
		request.resume();
		const url = new URL(request.url ?? "/", "http://status");
		const handler = routes.get(url.pathname) ?? (/^\/app-(health|lifecycle)\//.test(url.pathname) ? probe : notFound);
		Promise.resolve(handler(request, response, url)).catch((error: unknown) => {
			logger.error("status request failed", { path: url.pathname, error });
			if (!response.headersSent) response.writeHead(500);
			response.end();
		});
	});
	server.maxConnections = connectionsMax;
	server.on("clientError", (_, socket) => socket.destroy());
	await new Promise<void>((resolve, reject) => {
		server.once("error", (error) => reject(new Error(`status port ${pod.statusPort}: ${error.message}`)));
		server.listen(pod.statusPort, resolve);
	});
	server.on("error", (error) => logger.error("status server", { error }));
	return {
		port: (server.address() as AddressInfo).port,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

function createRoutes(options: StatusServerOptions): ReadonlyMap<string, Handler> {
	const { drain, quit } = options;
	const metrics: Handler = (request, response, url) => showMetrics(options, request, response, url);
	return new Map<string, Handler>([
		["/healthz/ready", (_, response) => showReady(options, response)],
		["/metrics", metrics],
		["/stats/prometheus", metrics],
		["/quitquitquit", command(quit)],
		["/drain", command(drain)],
		["/debug/ndsz", fromLocalhost((_, response) => void response.writeHead(404, { "content-type": "application/json" }).end("{}"))],
	]);
}

const notFound: Handler = (_, response) => void response.writeHead(404, { "content-type": "text/plain; charset=utf-8" }).end("404 page not found\n");

function fromLocalhost(handler: Handler): Handler {
	return (request, response, url) => {
		const from = request.socket.remoteAddress ?? "";
		if (/^(::ffff:)?127\./.test(from) || from === "::1") return handler(request, response, url);
		response.writeHead(403, { "content-type": "text/plain; charset=utf-8" }).end("Only requests from localhost are allowed\n");
	};
}

function command(run: () => void): Handler {
	return fromLocalhost((request, response) => {
		if (request.method !== "POST") return void response.writeHead(405, { "content-type": "text/plain; charset=utf-8" }).end("Method Not Allowed\n");
		const foreign = foreignTo(request.headers);
		if (foreign !== undefined) return void response.writeHead(403, { "content-type": "text/plain; charset=utf-8" }).end(`refused: ${foreign}\n`);
		response.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end("OK");
		run();
	});
}

async function showReady({ notReady, logger }: StatusServerOptions, response: ServerResponse): Promise<void> {
	const reason = await notReady();
	if (reason !== undefined) logger.debug("not ready", { reason });
	response.writeHead(reason === undefined ? 200 : 503, { "content-type": "text/plain; charset=utf-8" }).end(reason === undefined ? "" : `${reason}\n`);
}

/** Agent, proxy, application, in this order. A part that cannot be had is counted and left out: the others must not be lost. */
async function showMetrics(options: StatusServerOptions, request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
	const { agentMetrics, counts, logger, pod, proxyMetrics } = options;
	counts.scrapes++;
	const failed = (part: keyof AgentCounts["failedScrapes"]) => (error: unknown) => {
		counts.failedScrapes[part]++;
		logger.error(`failed scraping ${part} metrics`, { error });
		return undefined;
	};
	const [proxy, application] = await Promise.all([
		proxyMetrics(url.searchParams).catch(failed("proxy")),
		pod.scrape === undefined ? undefined : scrapeApplication(pod.scrape, request.headers).catch(failed("application")),
	]);
	response.writeHead(200, { "content-type": application?.contentType ?? textFormat });
	if (request.method === "HEAD") return void response.end();
	response.write(agentMetrics());
	for (const part of proxy === undefined ? [] : typeof proxy === "string" ? [proxy] : proxy) {
		if (response.destroyed) return;
		if (!response.write(part)) await new Promise<void>((resolve) => void response.once("drain", resolve).once("close", resolve));
	}
	response.end(application?.body);
}

function probeHandler({ logger, pod }: StatusServerOptions): Handler {
	const target = { address: pod.probeAddress, localAddress: pod.probeAddress.includes(":") ? "::6" : "127.0.0.6" };
	return async (request, response, url) => {
		const prober = pod.probers.get(url.pathname);
		if (prober === undefined) return void response.writeHead(400).end(`app prober config does not exists for ${url.pathname}`);
		const gone = new AbortController();
		response.once("close", () => gone.abort());
		const { status, body, error } = await runProbe(prober, target, { rawHeaders: request.rawHeaders, statusPort: pod.statusPort, signal: gone.signal });
		if (error !== undefined && !gone.signal.aborted)
			logger.warn("application probe failed", { path: url.pathname, kind: prober.kind, port: prober.port, error });
		if (!response.destroyed) response.writeHead(status).end(body.length === 0 ? noBody : body);
	};
}
