// Runs inside a pod (node - < load.mjs): sends requests as its one argument asks and prints what came back, as JSON.
// { url, requests | durationMs, concurrency?, ratePerSecond?, headers?, timeoutMs?, pattern?, keepAlive? }
import { Agent, request } from "node:http";

const {
	url,
	requests = Infinity,
	durationMs = Infinity,
	concurrency = 8,
	ratePerSecond,
	headers = {},
	timeoutMs = 10_000,
	pattern,
	keepAlive = true,
} = JSON.parse(process.argv[2]);
const agent = new Agent({ keepAlive, maxSockets: concurrency });
const classify = pattern === undefined ? undefined : new RegExp(pattern);
const started = Date.now();
const result = { sent: 0, statuses: {}, matches: {}, failures: {}, failedAtMs: [] };
const count = (table, key) => {
	table[key] = (table[key] ?? 0) + 1;
};

function once() {
	return new Promise((resolve) => {
		const call = request(url, { agent, headers, timeout: timeoutMs }, (response) => {
			const chunks = [];
			response.on("data", (chunk) => chunks.push(chunk));
			response.on("error", (error) => resolve({ failure: error.code ?? error.message }));
			response.on("end", () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }));
		});
		call.on("timeout", () => call.destroy(new Error("timeout")));
		call.on("error", (error) => resolve({ failure: error.code ?? error.message }));
		call.end();
	});
}

async function worker() {
	for (;;) {
		const number = result.sent;
		if (number >= requests || Date.now() - started >= durationMs) return;
		result.sent++;
		if (ratePerSecond !== undefined) {
			const due = started + (number * 1000) / ratePerSecond;
			if (due > Date.now()) await new Promise((resolve) => setTimeout(resolve, due - Date.now()));
		}
		const { status, body, failure } = await once();
		if (failure !== undefined) count(result.failures, failure);
		else {
			count(result.statuses, status);
			if (classify) count(result.matches, classify.exec(body)?.[1] ?? "none");
		}
		if ((failure !== undefined || status >= 500) && result.failedAtMs.length < 20) result.failedAtMs.push(Date.now() - started);
	}
}

await Promise.all(Array.from({ length: concurrency }, worker));
agent.destroy();
console.log(JSON.stringify(result));
