import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { connect } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, httpListener, loopback, router, staticCluster } from "./config.ts";
import { type Observed, type Proxy, skipReason, startPair } from "./pair.ts";

type Json = Readonly<Record<string, unknown>>;

/** One listener: its filters before the router, its routes, and the requests that both proxies get. */
export interface Scenario {
	readonly filters: readonly object[];
	/** Network filters before the connection manager. */
	readonly network?: readonly object[];
	/** Fields of the one virtual host; its routes lead to the echo by default. */
	readonly host?: Json;
	readonly routeConfig?: Json;
	readonly manager?: Json;
	/** Fields of the listener beside its address and its chain. */
	readonly listener?: Json;
	/** Mutual TLS: a DownstreamTlsContext, and what the client shows. */
	readonly tls?: { readonly server: Json; readonly client: Pick<ConnectionOptions, "cert" | "key"> };
	/** Name → bytes of a request without its last line; `connection: close` is added. */
	readonly requests: Readonly<Record<string, string>>;
}

export interface SuiteOptions {
	/** Of statistics that must agree. */
	readonly stats: RegExp;
	readonly clusters?: (echoPort: number) => readonly object[];
	/** Access log fields beside status, flags and details. */
	readonly log?: Readonly<Record<string, string>>;
	/** Replaces what differs for no reason in values of the log. */
	readonly settle?: (text: string) => string;
	/** Other paths than these are echoed. */
	readonly answer?: Readonly<
		Record<string, (request: { readonly headers: Json; readonly method: string }) => { status: number; headers?: Record<string, string>; body?: string }>
	>;
}

export const get = (path: string, headers = "", host = "a.test"): string => `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${headers}`;
export const post = (path: string, body: string, headers = ""): string =>
	`POST ${path} HTTP/1.1\r\nhost: a.test\r\ncontent-length: ${body.length}\r\n${headers}\r\n${body}`;

/** Every request of every scenario, at a real Envoy and at weft-proxy: the same answer, log line and statistics. */
export function runScenarios(title: string, scenarios: Readonly<Record<string, Scenario>>, options: SuiteOptions): void {
	void describe(title, { skip: skipReason }, () => {
		let echo: Server;
		let pair: readonly [Proxy, Proxy];
		const seen = new Map<string, readonly Observed[]>();
		before(async () => {
			echo = await startEcho(options.answer ?? {});
			const address = echo.address();
			const echoPort = typeof address === "object" && address !== null ? address.port : 0;
			pair = await startPair((accessLog) => buildBootstrap(scenarios, echoPort, accessLog, options), Object.keys(scenarios));
			const [envoy, weft] = pair;
			await Promise.all(
				Object.entries(scenarios).map(async ([name, { requests, tls }]) => {
					// One after the other: some depend on those before.
					for (const [what, request] of Object.entries(requests)) {
						seen.set(`${name}/${what}`, await Promise.all([envoy, weft].map((proxy) => observe(proxy, name, request, tls?.client, options.settle))));
					}
				}),
			);
		});
		after(async () => {
			echo?.close();
			echo?.closeAllConnections();
			for (const proxy of pair ?? []) await proxy.stop();
		});
		for (const [name, scenario] of Object.entries(scenarios)) {
			void describe(name, () => {
				for (const what of Object.keys(scenario.requests)) {
					void test(what, () => {
						const [envoy, weft] = seen.get(`${name}/${what}`) ?? [];
						assert.notEqual(envoy, undefined);
						assert.deepEqual(weft, envoy);
					});
				}
			});
		}
		void test("statistics", async () => {
			const [envoy, weft] = await Promise.all(pair.map((proxy) => proxy.stats(options.stats)));
			assert.deepEqual(weft?.toSorted(), envoy?.toSorted());
		});
	});
}

function startEcho(answers: NonNullable<SuiteOptions["answer"]>): Promise<Server> {
	const server = createServer((request, response) => {
		const chunks: Buffer[] = [];
		request.on("data", (chunk: Buffer) => void chunks.push(chunk));
		request.on("end", () => {
			const { method = "", url = "" } = request;
			const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => name !== "x-request-id"));
			const own = Object.hasOwn(answers, url.split("?")[0] as string) ? answers[url.split("?")[0] as string] : undefined;
			const answer = own?.({ headers, method }) ?? {
				status: 200,
				body: JSON.stringify({ method, url, headers: sorted(headers), body: Buffer.concat(chunks).toString("latin1") }),
			};
			const body = answer.body ?? "";
			response.writeHead(answer.status, { "content-length": body.length, ...answer.headers });
			response.end(body);
		});
	});
	return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

const sorted = (headers: Json) => Object.entries(headers).toSorted(([a], [b]) => (a < b ? -1 : 1));

function buildBootstrap(scenarios: Readonly<Record<string, Scenario>>, echoPort: number, accessLog: string, options: SuiteOptions): object {
	const log = fileLog(accessLog, {
		listener: "%REQ(x-case)%",
		status: "%RESPONSE_CODE%",
		flags: "%RESPONSE_FLAGS%",
		details: "%RESPONSE_CODE_DETAILS%",
		...options.log,
	});
	const listeners = Object.entries(scenarios).map(
		([name, { filters, network = [], host = {}, routeConfig = {}, manager = {}, listener: ofListener = {}, tls }]) => {
			const virtualHost = { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "echo" } }], ...host };
			const fields = {
				access_log: [log],
				route_config: { name, virtual_hosts: [virtualHost], ...routeConfig },
				http_filters: [...filters, router],
				...manager,
			};
			const listener = behind(network, { ...httpListener(name, fields), ...ofListener });
			return tls === undefined ? listener : overTls(listener, tls.server);
		},
	);
	const clusters = [
		staticCluster("echo", echoPort, { connect_timeout: "2s" }),
		staticCluster("other", echoPort, { connect_timeout: "2s" }),
		{ name: "nobody", type: "STATIC", connect_timeout: "1s" },
		...(options.clusters?.(echoPort) ?? []),
	];
	return { node: { id: "n", cluster: "c" }, admin: { address: loopback(0) }, static_resources: { listeners, clusters } };
}

interface Chained {
	readonly filter_chains: readonly { readonly filters: readonly object[] }[];
}

function behind(network: readonly object[], listener: object): object {
	if (network.length === 0) return listener;
	return { ...listener, filter_chains: (listener as Chained).filter_chains.map((chain) => ({ ...chain, filters: [...network, ...chain.filters] })) };
}

function overTls(listener: object, server: Json): object {
	const { filter_chains: chains } = listener as { readonly filter_chains: readonly object[] };
	const socket = extension("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext", server);
	return {
		...listener,
		filter_chains: chains.map((chain) => ({ ...chain, transport_socket: socket })),
		listener_filters: [extension("envoy.filters.listener.tls_inspector", "extensions.filters.listener.tls_inspector.v3.TlsInspector")],
	};
}

let cases = 0;

async function observe(
	proxy: Proxy,
	listener: string,
	request: string,
	client: ConnectionOptions | undefined,
	settle = (text: string) => text,
): Promise<Observed> {
	const id = `case-${++cases}`;
	const at = request.indexOf("\r\n\r\n");
	const [head, body] = at < 0 ? [request, ""] : [request.slice(0, at + 2), request.slice(at + 4)];
	const text = await exchange(proxy.port(listener), client, `${head}connection: close\r\nx-case: ${id}\r\n\r\n${body}`);
	const end = text.indexOf("\r\n\r\n");
	const [line = "", ...fields] = text.slice(0, end).split("\r\n");
	const deadline = performance.now() + 3000;
	let log: Json | undefined;
	while (log === undefined && performance.now() < deadline) {
		log = proxy.log().find((entry) => entry["listener"] === id);
		if (log === undefined) await sleep(20);
	}
	const { listener: _, ...rest } = log ?? {};
	return {
		status: Number(line.split(" ")[1]),
		// The second may turn between the two.
		headers: fields
			.map((field) => field.replace(/^(x-ratelimit-reset: \d*)\d\d$/, "$1xx").replace("18xx", "17xx"))
			.filter((field) => !/^(date|x-envoy-upstream-service-time|content-length|connection|transfer-encoding):/i.test(field))
			.toSorted(),
		body: text.slice(end + 4).replace(/case-\d+/g, "case"),
		log: Object.fromEntries(Object.entries(rest).map(([field, value]) => [field, typeof value === "string" ? settle(value) : value])),
	};
}

function exchange(port: number, client: ConnectionOptions | undefined, text: string): Promise<string> {
	return new Promise((resolve, reject) => {
		const address = { port, host: "127.0.0.1" };
		const socket = client === undefined ? connect(address) : connectTls({ ...address, ...client, servername: "server.test", rejectUnauthorized: false });
		let received = "";
		socket.setTimeout(5000, () => {
			received += " (no end)";
			socket.destroy();
		});
		socket.on("data", (bytes) => void (received += bytes.toString("latin1")));
		socket.on("error", reject);
		socket.on("close", () => resolve(received));
		socket.write(text, "latin1");
	});
}
