import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Logger, type LogLevel, logLevels } from "@weft/runtime";
import { sendText } from "./http-context.ts";
import { isLoopback, splitAddress } from "./options.ts";

export interface ControlZOptions {
	/** On loopback: whoever can reach it changes what is logged. */
	readonly address: string;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

const bodyBytesMax = 64 << 10;

const descriptions: Readonly<Record<string, string>> = {
	ads: "discovery: pushes, and the proxies that take them",
	citadel: "certificates and roots",
	default: "everything that has no scope of its own",
	galley: "configuration as it is read",
	gateways: "Deployments of Gateways",
	inject: "injection of pods",
	kube: "what is watched in Kubernetes",
	registration: "workloads that register themselves",
	status: "status that is written into objects",
	webhook: "admission webhooks and their certificates",
};

/** istiod's ControlZ as far as `istioctl admin log` asks it: `GET /scopej`, `GET` and `PUT /scopej/SCOPE`. */
export async function startControlZ({ address, logger, signal }: ControlZOptions): Promise<string> {
	const { host, port } = splitAddress(address);
	if (!isLoopback(host)) throw new Error(`ControlZ is served on loopback only, not on ${host}: reach it by kubectl port-forward`);
	const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
		answer(logger, request, response).catch((error: unknown) => {
			if (!response.headersSent) sendText(response, 400, `unable to decode request: ${error instanceof Error ? error.message : String(error)}`);
		});
	});
	await new Promise<void>((resolve, reject) => {
		server.once("error", (error) => reject(new Error(`cannot listen on ${address}: ${error.message} (--ctrlz_port takes another)`)));
		server.listen(port, host, resolve);
	});
	const close = () => {
		server.close();
		server.closeAllConnections();
	};
	signal.addEventListener("abort", close, { once: true });
	return `${host}:${(server.address() as AddressInfo).port}`;
}

async function answer(logger: Logger, request: IncomingMessage, response: ServerResponse): Promise<void> {
	// A page in somebody's browser whose name was made to lead here says so in Host.
	const host = (request.headers.host ?? "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
	if (!isLoopback(host)) return sendText(response, 403, "refused: not asked by a loopback name\n");
	const [, page, scope = ""] = /^\/(scopej)(?:\/(.*))?$/.exec(new URL(request.url ?? "/", "http://localhost").pathname) ?? [];
	if (page === undefined) return sendText(response, 404, "404 page not found\n");
	const name = decodeURIComponent(scope);
	if (request.method === "GET" && name === "")
		return send(
			response,
			[...logger.scopes.keys()].sort().map((one) => scopeJson(logger, one)),
		);
	if (!logger.scopes.has(name)) return sendText(response, 400, `unknown scope name: ${name}`);
	if (request.method === "GET") return send(response, scopeJson(logger, name));
	if (request.method !== "PUT") return sendText(response, 405, "method not allowed\n");
	const problem = change(logger, name, await readBody(request));
	if (problem !== undefined) return sendText(response, 400, problem);
	response.writeHead(202);
	response.end();
}

function scopeJson({ scopes }: Logger, name: string): object {
	return { name, description: descriptions[name] ?? "", output_level: scopes.get(name)?.level, stack_trace_level: "none", log_callers: false };
}

/** What is wrong, and nothing was changed. */
function change({ scopes }: Logger, name: string, body: string): string | undefined {
	const { output_level: level, stack_trace_level: stack = "", log_callers: callers = false } = JSON.parse(body) as Readonly<Record<string, unknown>>;
	if (stack !== "" && stack !== "none") return "stack traces are not logged: there is no level for them";
	if (callers === true) return "log lines carry no callers";
	if (level === undefined || level === "") return undefined;
	const known = logLevels.find((one: LogLevel) => one === level);
	if (known === undefined) return `unknown level ${JSON.stringify(level)}; levels are ${logLevels.join(", ")}`;
	const found = scopes.get(name);
	if (found) found.level = known;
	return undefined;
}

async function readBody(request: IncomingMessage): Promise<string> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of request as AsyncIterable<Buffer>) {
		bytes += chunk.length;
		if (bytes > bodyBytesMax) throw new Error(`the body is larger than ${bodyBytesMax} bytes`);
		chunks.push(chunk);
	}
	return Buffer.concat(chunks).toString("utf8");
}

function send(response: ServerResponse, value: unknown): void {
	response.writeHead(200, { "content-type": "application/json; charset=utf-8", "x-content-type-options": "nosniff" });
	response.end(`${JSON.stringify(value)}\n`);
}
