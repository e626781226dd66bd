import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { describe, test } from "node:test";
import { createLogger, systemClock } from "@weft/runtime";
import { decodeReadinessProbe, type ReadinessProbe } from "./readiness-probe.ts";
import { createWorkloadProbe, watchWorkloadHealth } from "./workload-health.ts";

const good = { httpGet: { port: 8080 } };

describe("readinessProbe of ProxyConfig", () => {
	test("is read with Istio's defaults", () => {
		assert.deepEqual(decodeReadinessProbe(good), {
			value: {
				action: { kind: "http", port: 8080, path: "/", isTls: false },
				host: undefined,
				headers: [],
				initialDelayMs: 0,
				timeoutMs: 1_000,
				periodMs: 10_000,
				successThreshold: 1,
				failureThreshold: 3,
			},
			errors: [],
		});
		assert.deepEqual(decodeReadinessProbe(undefined), { value: undefined, errors: [] });
	});

	test("every field is taken", () => {
		const { value } = decodeReadinessProbe({
			initialDelaySeconds: 1,
			timeoutSeconds: 2,
			periodSeconds: 3,
			successThreshold: 4,
			failureThreshold: 5,
			httpGet: { path: "ready", port: 1, host: "h", scheme: "https", httpHeaders: [{ name: "a", value: "b" }, { name: "c" }] },
		});
		assert.deepEqual(value, {
			action: { kind: "http", port: 1, path: "/ready", isTls: true },
			host: "h",
			headers: ["a", "b", "c", ""],
			initialDelayMs: 1_000,
			timeoutMs: 2_000,
			periodMs: 3_000,
			successThreshold: 4,
			failureThreshold: 5,
		});
		assert.deepEqual(decodeReadinessProbe({ tcpSocket: { port: 2, host: "h" } }).value?.action, { kind: "tcp", port: 2 });
		assert.deepEqual(decodeReadinessProbe({ grpc: { port: 3, service: "s" } }).value?.action, { kind: "grpc", port: 3, service: "s" });
		assert.deepEqual(decodeReadinessProbe({ exec: { command: ["a", "b"] } }).value?.action, { kind: "exec", command: ["a", "b"] });
	});

	const bad: readonly (readonly [unknown, RegExp])[] = [
		["x", /an object is wanted/],
		[{}, /exactly one of/],
		[{ ...good, tcpSocket: { port: 1 } }, /exactly one of/],
		[{ httpGet: { port: 0 } }, /httpGet\.port/],
		[{ httpGet: { port: 1, scheme: "ftp" } }, /scheme/],
		[{ httpGet: { port: 1, httpHeaders: [{ name: "a b" }] } }, /httpHeaders/],
		[{ httpGet: { port: 1, httpHeaders: [{ name: "a", value: "b\r\nc: d" }] } }, /httpHeaders/],
		[{ exec: { command: [] } }, /exec\.command/],
		[{ exec: { command: "rm" } }, /exec\.command/],
		[{ ...good, periodSeconds: -1 }, /periodSeconds/],
		[{ ...good, failureThreshold: 1.5 }, /failureThreshold/],
	];
	for (const [value, reason] of bad) {
		test(`${JSON.stringify(value)} is refused`, () => {
			const { value: decoded, errors } = decodeReadinessProbe(value);
			assert.equal(decoded, undefined);
			assert.match(errors.join(), reason);
		});
	}
});

const probeOf = (value: object): ReadinessProbe => {
	const decoded = decodeReadinessProbe(value);
	assert.ok(decoded.value, decoded.errors.join());
	return decoded.value;
};

describe("watching", () => {
	/** The reports of a workload that answers these one after the other: true is good. */
	async function reports(answers: readonly boolean[], probe: Partial<ReadinessProbe>): Promise<readonly string[]> {
		const abort = new AbortController();
		const slept: number[] = [];
		const said: string[] = [];
		let at = 0;
		await watchWorkloadHealth({
			probe: { ...probeOf(good), ...probe },
			ask: async () => {
				const isGood = answers[at++];
				if (at === answers.length) setImmediate(() => abort.abort());
				return isGood ? undefined : `bad ${at}`;
			},
			report: (problem) => said.push(problem ?? "healthy"),
			clock: {
				...systemClock,
				sleep: async (ms) => {
					slept.push(ms);
					if (at === answers.length) await new Promise((resolve) => setImmediate(resolve));
				},
			},
			signal: abort.signal,
		});
		assert.deepEqual(slept, [0, ...answers.map(() => 10_000)]);
		return said;
	}

	test("the first state is told, then changes alone", async () => {
		assert.deepEqual(await reports([true, true, false, false, false, false, true, true], {}), ["healthy", "bad 5", "healthy"]);
	});
	test("the thresholds count answers in a row", async () => {
		assert.deepEqual(await reports([true, false, true, true, false, true, false, false], { successThreshold: 2, failureThreshold: 2 }), ["healthy", "bad 8"]);
	});
	test("one that never comes up is told of", async () => {
		assert.deepEqual(await reports([false, false, false, false], {}), ["bad 3"]);
	});
});

describe("probing", () => {
	const logger = createLogger({ level: "none" });
	const ask = (value: object, proxyNotReady: () => string | undefined = () => undefined) =>
		createWorkloadProbe({ probe: probeOf(value), instanceIps: ["127.0.0.1"], proxyNotReady, logger })(new AbortController().signal);

	test("HTTP: statuses of 200 to 399 are healthy, and the probe's headers are sent", async () => {
		let status = 200;
		const seen: unknown[] = [];
		const server = createServer((request, response) => {
			seen.push(request.url, request.headers.host, request.headers["x-probe"]);
			response.writeHead(status, status === 302 ? { location: "http://elsewhere.example/" } : {}).end();
		});
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		const { port } = server.address() as AddressInfo;
		const probe = {
			httpGet: {
				port,
				path: "/ready",
				httpHeaders: [
					{ name: "Host", value: "web" },
					{ name: "x-probe", value: "1" },
				],
			},
		};
		assert.equal(await ask(probe), undefined);
		assert.deepEqual(seen, ["/ready", "web", "1"]);
		status = 302;
		assert.equal(await ask(probe), undefined);
		status = 503;
		assert.equal(await ask(probe), "HTTP status 503");
		server.close();
		server.closeAllConnections();
		assert.match((await ask(probe)) ?? "", /ECONNREFUSED/);
	});

	test("TCP: whether somebody listens", async () => {
		const server = createTcpServer((socket) => socket.destroy());
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		const probe = { tcpSocket: { port: (server.address() as AddressInfo).port } };
		assert.equal(await ask(probe), undefined);
		await new Promise((resolve) => server.close(resolve));
		assert.match((await ask(probe)) ?? "", /ECONNREFUSED/);
	});

	test("exec: the exit status, with what it said; a command that does not end is ended", async () => {
		const node = (script: string, timeoutSeconds = 20) => ({ timeoutSeconds, exec: { command: [process.execPath, "-e", script] } });
		assert.equal(await ask(node("")), undefined);
		assert.equal(await ask(node("console.error('disk full'); process.exit(3)")), "exit status 3: disk full");
		assert.equal(await ask(node("setInterval(() => {}, 1000)", 1)), "no end within 1000 ms");
		assert.match((await ask({ exec: { command: ["/nonexistent/command"] } })) ?? "", /ENOENT/);
	});

	test("behind a proxy that does not serve nothing is healthy", async () => {
		assert.equal(await ask({ exec: { command: [process.execPath, "-e", ""] } }, () => "DRAINING"), "the proxy is not ready: DRAINING");
	});
});
