import assert from "node:assert/strict";
import { judgedHeader } from "./bootstrap.ts";
import { type ProxyOptions, type ProxyProcess, startProxy } from "./proxy-process.ts";
import { type Outcome, RawClient, type RawResponse, type ReadOptions } from "./raw-client.ts";
import { headerOf, type SeenRequest } from "./request-reader.ts";
import { RecordingUpstream } from "./upstream.ts";

/** One proxy with one recording upstream behind it. */
export interface Fixture {
	readonly upstream: RecordingUpstream;
	readonly proxy: ProxyProcess;
	stop(): Promise<void>;
}

export async function startFixture(options: Omit<ProxyOptions, "upstreamPort">): Promise<Fixture> {
	const upstream = new RecordingUpstream();
	const upstreamPort = await upstream.listen();
	try {
		const proxy = await startProxy({ ...options, upstreamPort });
		return {
			upstream,
			proxy,
			async stop() {
				await proxy.stop();
				await upstream.close();
			},
		};
	} catch (error) {
		await upstream.close();
		throw error;
	}
}

/** The request that reached the upstream is the one the proxy decided about. */
export function isAsJudged(request: SeenRequest): boolean {
	const judged = headerOf(request, judgedHeader);
	// Envoy gives a CONNECT no path; what it decides about is the authority.
	if (request.method === "CONNECT") return judged?.trimEnd() === `CONNECT ${request.target}`;
	return judged === `${request.method} ${headerOf(request, "host")} ${request.target}`;
}

/** No desync: all that reached the upstream was well framed and known to the proxy; and the proxy lives. Forgets it for the next test. */
export function assertClean({ upstream, proxy }: Fixture, passesTrailers = false): void {
	const violations = upstream.violations.splice(0);
	const smuggled = upstream.seen.filter((request) => !isAsJudged(request));
	const withTrailers = upstream.seen.filter(({ trailers }) => trailers.length > 0);
	upstream.clear();
	assert.deepEqual(violations, [], "malformed bytes reached the upstream");
	assert.deepEqual(smuggled, [], "requests reached the upstream that the proxy did not judge");
	if (!passesTrailers) assert.deepEqual(withTrailers, [], "trailers were passed on, which are not enabled");
	assert.equal(proxy.trouble(), undefined, "the proxy is alive and nothing was thrown in it");
}

export function isResponse(outcome: Outcome): outcome is RawResponse {
	return typeof outcome === "object";
}

/** What a test table writes down: the status, or `closed`, or `silent`. */
export function statusOf(outcome: Outcome): number | "closed" | "silent" {
	return isResponse(outcome) ? outcome.status : outcome;
}

/** Sends bytes on a connection of their own and reads one response. */
export async function exchange(port: number, bytes: string | Buffer, options?: ReadOptions): Promise<Outcome> {
	const client = await RawClient.connect(port);
	try {
		client.send(bytes);
		return await client.response(options);
	} finally {
		client.close();
	}
}

let probes = 0;

/** A harmless request must get its own answer. */
export async function assertServes(port: number, client?: RawClient): Promise<void> {
	const target = `/probe/${++probes}`;
	const request = `GET ${target} HTTP/1.1\r\nhost: probe.test\r\n\r\n`;
	const outcome = await (client === undefined ? exchange(port, request) : (client.send(request), client.response()));
	assert.ok(isResponse(outcome), `a probe was answered, not ${String(outcome)}`);
	assert.deepEqual([outcome.status, outcome.body], [200, `saw GET ${target}`]);
}

/** `POST` with a body, framed by its length. */
export function post(target: string, body: string, ...headers: readonly string[]): string {
	return `POST ${target} HTTP/1.1\r\nhost: a.test\r\n${headers.map((line) => `${line}\r\n`).join("")}content-length: ${body.length}\r\n\r\n${body}`;
}

export function get(target: string, ...headers: readonly string[]): string {
	return `GET ${target} HTTP/1.1\r\nhost: a.test\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n`;
}
