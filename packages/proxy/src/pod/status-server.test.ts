import assert from "node:assert/strict";
import { createServer as createHttp, request, type RequestListener } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { createServer as createHttps } from "node:https";
import { type AddressInfo, createServer as createTcp, type Server } from "node:net";
import { after, before, describe, it } from "node:test";
import { createLogger } from "@weft/runtime";
import { createTestIdentity } from "../data/tls/test-identity.ts";
import { createAgentCounts } from "./agent-metrics.ts";
import { textFormat } from "./app-metrics.ts";
import type { PodOptions } from "./pod-options.ts";
import { decodeProbers } from "./probers.ts";
import { startStatusServer, type StatusServer, type StatusSources } from "./status-server.ts";

const noDrain = { terminationMs: 0, exitsOnZeroConnections: false, minimumMs: 0, listenersMs: 0 };
const logger = createLogger({ level: "none" });
const servers: Server[] = [];
const statuses: StatusServer[] = [];

after(async () => {
	for (const server of servers) server.close();
	await Promise.all(statuses.map((status) => status.close()));
});

async function listen(server: Server): Promise<number> {
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	servers.push(server);
	return (server.address() as AddressInfo).port;
}

async function start(pod: Partial<PodOptions>, sources: Partial<StatusSources> = {}): Promise<number> {
	const counts = sources.counts ?? createAgentCounts();
	const options = {
		isSidecar: true,
		podIp: "127.0.0.1",
		probeAddress: "127.0.0.1",
		statusPort: 0,
		logLevel: "none",
		logAsJson: false,
		probers: new Map(),
		scrape: undefined,
		drain: noDrain,
		dns: undefined,
	};
	const defaults: StatusSources = {
		notReady: () => undefined,
		proxyMetrics: async () => "proxy 1\n",
		agentMetrics: () => "agent 1\n",
		counts,
		drain() {},
		quit() {},
	};
	const status = await startStatusServer({ pod: { ...options, ...pod }, logger, ...defaults, ...sources });
	statuses.push(status);
	return status.port;
}

interface Answer {
	readonly status: number;
	readonly type: string | undefined;
	readonly body: string;
}

function get(port: number, path: string, headers: Readonly<Record<string, string>> = {}, method = "GET"): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
			const parts: Buffer[] = [];
			response.on("data", (part: Buffer) => parts.push(part));
			response.on("end", () =>
				resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"], body: Buffer.concat(parts).toString("utf8") }),
			);
		});
		sent.on("error", reject);
		sent.end();
	});
}

describe("readiness, drain and quit", () => {
	it("ready, or why not", async () => {
		let reason: string | undefined = "INITIALIZING";
		const port = await start({}, { notReady: () => reason });
		assert.deepEqual(await get(port, "/healthz/ready"), { status: 503, type: "text/plain; charset=utf-8", body: "INITIALIZING\n" });
		reason = undefined;
		assert.equal((await get(port, "/healthz/ready")).status, 200);
	});

	it("commands are POSTs, and answered before they run", async () => {
		const asked: string[] = [];
		const port = await start({}, { drain: () => void asked.push("drain"), quit: () => void asked.push("quit") });
		assert.equal((await get(port, "/drain")).status, 405);
		assert.deepEqual(asked, []);
		assert.equal((await get(port, "/drain", {}, "POST")).body, "OK");
		assert.equal((await get(port, "/quitquitquit", {}, "POST")).body, "OK");
		assert.deepEqual(asked, ["drain", "quit"]);
	});

	it("what is not there is a 404", async () => {
		const port = await start({});
		assert.equal((await get(port, "/debug/ndsz")).status, 404);
		assert.equal((await get(port, "/nothing")).status, 404);
	});

	it("a port that is taken is named", async () => {
		const port = await start({});
		await assert.rejects(start({ statusPort: port }), new RegExp(`status port ${port}: .*EADDRINUSE`));
	});
});

describe("merged metrics", () => {
	const scrape = async (listener: RequestListener) => ({ port: await listen(createHttp(listener)), path: "/m" });

	it("agent, proxy, application, with the application's format and the scraper's headers", async () => {
		let seen: unknown;
		const app = await scrape((incoming, response) => {
			seen = [incoming.url, incoming.headers.accept, incoming.headers["user-agent"], incoming.headers.cookie];
			response.setHeader("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8");
			response.end("app 1\n# EOF\n");
		});
		const port = await start({ scrape: app }, { proxyMetrics: async (query) => ["proxy 1\n", `# ${query.get("usedonly")}\n`] });
		const answer = await get(port, "/stats/prometheus?usedonly=yes", { accept: "application/openmetrics-text", "user-agent": "Prometheus/3", cookie: "a=b" });
		assert.deepEqual(answer, {
			status: 200,
			type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
			body: "agent 1\nproxy 1\n# yes\napp 1\n# EOF\n",
		});
		assert.deepEqual(seen, ["/m", "application/openmetrics-text", "Prometheus/3", undefined]);
	});

	const failing: Readonly<Record<string, RequestListener>> = {
		"the application answers 500": (_, response) => response.writeHead(500).end("no"),
		"it never answers": () => {},
		"it hangs up in the middle": (_, response) => {
			response.writeHead(200, { "content-length": "100" }).write("app 1\n");
			setImmediate(() => response.destroy());
		},
		"its answer has no end": (_, response) => {
			const more = () => {
				while (!response.destroyed && response.write(Buffer.alloc(65_536, "a"))) {}
			};
			response.on("drain", more).on("error", () => {});
			more();
		},
	};
	for (const [name, listener] of Object.entries(failing)) {
		it(`${name}: it is left out and counted`, async () => {
			const counts = createAgentCounts();
			const port = await start({ scrape: await scrape(listener) }, { counts });
			const answer = await get(port, "/stats/prometheus", { "x-prometheus-scrape-timeout-seconds": "1.5" });
			assert.deepEqual(answer, { status: 200, type: textFormat, body: "agent 1\nproxy 1\n" });
			assert.deepEqual(counts.failedScrapes, { proxy: 0, application: 1 });
		});
	}

	it("without a proxy yet, the others are shown", async () => {
		const counts = createAgentCounts();
		const port = await start({}, { counts, proxyMetrics: () => Promise.reject(new Error("not started")) });
		assert.equal((await get(port, "/metrics")).body, "agent 1\n");
		assert.deepEqual([counts.scrapes, counts.failedScrapes.proxy], [1, 1]);
	});
});

// The probes come from 127.0.0.6, which only Linux has without further ado.
describe("the application's probes", { skip: process.platform === "linux" ? false : "needs Linux's 127.0.0.6" }, () => {
	const target = { http: 0, https: 0, tcp: 0, grpc: 0, closed: 0 };
	let other = 0;
	let healthStatus = 1;

	before(async () => {
		const { certChainPem, privateKeyPem } = createTestIdentity("spiffe://test/ns/a/sa/b");
		const listener: RequestListener = (incoming, response) => {
			const { pathname } = new URL(incoming.url ?? "", "http://app");
			if (pathname === "/here") return void response.writeHead(302, { location: "/ok" }).end();
			if (pathname === "/away") return void response.writeHead(302, { location: `http://127.0.0.2:${other}/bad` }).end();
			if (pathname === "/round") return void response.writeHead(302, { location: "/round" }).end();
			if (pathname === "/slow") return;
			if (pathname === "/big") return void response.end("b".repeat(50_000));
			response.writeHead(pathname === "/bad" ? 503 : 200, { "set-cookie": "a=b" });
			response.end(JSON.stringify({ url: incoming.url, from: incoming.socket.remoteAddress, host: incoming.headers.host, probe: incoming.headers["x-probe"] }));
		};
		target.http = await listen(createHttp(listener));
		target.https = await listen(createHttps({ cert: certChainPem, key: privateKeyPem }, listener));
		target.tcp = await listen(createTcp((socket) => socket.destroy()));
		other = target.tcp;
		target.grpc = await listen(
			createHttp2((incoming, response) => {
				incoming.resume();
				if (incoming.url !== "/grpc.health.v1.Health/Check")
					return void response.writeHead(200, { "content-type": "application/grpc", "grpc-status": "12" }).end();
				incoming.on("data", (bytes: Buffer) => {
					const known = bytes.length === 5 || bytes.subarray(7).toString("utf8") === "live";
					response.writeHead(200, { "content-type": "application/grpc" });
					response.addTrailers({ "grpc-status": known ? "0" : "5" });
					response.end(Buffer.from(known ? [0, 0, 0, 0, 2, 8, healthStatus] : []));
				});
			}),
		);
		const closed = createTcp();
		target.closed = await listen(closed);
		closed.close();
	});

	const probe = async (action: object, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => {
		const path = "/app-health/app/livez";
		const { value: probers, errors } = decodeProbers(JSON.stringify({ [path]: { timeoutSeconds: 1, ...action } }));
		assert.deepEqual(errors, []);
		return get(await start({ probers }), path, headers);
	};
	const http = (path: string, scheme = "HTTP") => ({ httpGet: { path, port: scheme === "HTTP" ? target.http : target.https, scheme } });

	it("HTTP: path, query and headers are the probe's, the address is nobody else's", async () => {
		const { status, body } = await probe(http("/ok?x=1"), { "x-probe": "yes", host: "named.example" });
		assert.equal(status, 200);
		assert.deepEqual(JSON.parse(body), { url: "/ok?x=1", from: "127.0.0.6", host: "named.example", probe: "yes" });
	});

	it("HTTPS: the certificate is not verified, as the kubelet does not", async () => {
		assert.equal((await probe(http("ok", "HTTPS"))).status, 200);
	});

	const cases: Readonly<Record<string, readonly [() => object, number]>> = {
		"a failing status is passed on": [() => http("/bad"), 503],
		"a redirect to the same host is followed": [() => http("/here"), 200],
		"a redirect elsewhere counts as success": [() => http("/away"), 200],
		"redirects without end fail": [() => http("/round"), 500],
		"no answer in time fails": [() => http("/slow"), 500],
		"nobody listens": [() => ({ httpGet: { port: target.closed } }), 500],
		"TCP: somebody listens": [() => ({ tcpSocket: { port: target.tcp } }), 200],
		"TCP: nobody listens": [() => ({ tcpSocket: { port: target.closed } }), 500],
		"gRPC: serving": [() => ({ grpc: { port: target.grpc } }), 200],
		"gRPC: a named service": [() => ({ grpc: { port: target.grpc, service: "live" } }), 200],
		"gRPC: an unknown service": [() => ({ grpc: { port: target.grpc, service: "other" } }), 500],
		"gRPC: not gRPC": [() => ({ grpc: { port: target.http } }), 500],
		"gRPC: nobody listens": [() => ({ grpc: { port: target.closed } }), 500],
	};
	for (const [name, [action, status]] of Object.entries(cases)) it(name, async () => assert.equal((await probe(action())).status, status));

	it("gRPC: not serving", async () => {
		healthStatus = 2;
		assert.equal((await probe({ grpc: { port: target.grpc } })).status, 500);
		healthStatus = 1;
	});

	it("no more than ten kilobytes of an answer are kept", async () => {
		assert.equal((await probe(http("/big"))).body.length, 10_240);
	});

	it("a probe that nobody has is a 400", async () => {
		assert.equal((await get(await start({}), "/app-health/app/readyz")).status, 400);
	});
});
