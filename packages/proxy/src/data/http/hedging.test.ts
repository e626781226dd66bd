import assert from "node:assert/strict";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import type { Cluster } from "../../config/clusters.ts";
import type { RetryPolicy } from "../../config/retry-policy.ts";
import { errorCode } from "../http2/protocol.ts";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";
import { openSession, request, startHttp2Server } from "./http2-test-peers.ts";
import { bodyOf, get, ok, startUpstream, statusOf } from "./test-peers.ts";

const tryMs = 50;
const retry: RetryPolicy = {
	retryOn: ["5xx"],
	numRetries: 2,
	perTryTimeoutMs: tryMs,
	perTryIdleTimeoutMs: undefined,
	retriableStatusCodes: [],
	retriableHeaders: [],
	retriableRequestHeaders: [],
	backOff: { baseMs: 1, maxMs: 1 },
	rateLimited: undefined,
	avoids: { previous: false, canary: false, metadata: [] },
	previousPriorities: undefined,
	hostSelectionAttemptsMax: 1,
};

/** However it comes to that. */
const closed = (one: ServerHttp2Stream | Socket): Promise<void> =>
	new Promise((resolve) => {
		if (one.closed) resolve();
		else one.once("close", resolve);
	});

describe("hedge_on_per_try_timeout", () => {
	let proxy: Standalone;
	let names = 0;
	const closers: (() => void)[] = [];
	before(async () => {
		proxy = await startStandalone();
	});
	after(() => proxy.close());
	afterEach(() => {
		for (const close of closers.splice(0)) close();
	});

	async function serve(upstreamPort: number, cluster: Partial<Cluster> = {}): Promise<number> {
		const name = `l${++names}`;
		const route = routeOf("/", { ...forwardTo(name), timeoutMs: 0, retry, hedgesOnTryTimeout: true });
		const chain = chainOf([managerOf(tableOf([route]))]);
		await proxy.apply(
			updateOf({ listeners: [listenerOf(name, [chain])], clusters: [clusterOf(name, cluster)], hosts: [{ ...hostsOf("", [upstreamPort]), cluster: name }] }),
		);
		return proxy.port(name);
	}

	const upstreamOf = async (onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void) => {
		const upstream = await startHttp2Server(onStream);
		closers.push(() => upstream.close());
		const breaker = { connectionsMax: 10, pendingRequestsMax: 1000, requestsMax: 1000, retriesMax: 1000, retryBudget: undefined, tracksRemaining: false };
		return serve(upstream.port, { upstreamProtocol: "http2", breakers: { default: breaker, high: breaker } });
	};
	const clientOf = async (port: number) => {
		const session = await openSession(port);
		closers.push(() => session.destroy());
		return session;
	};

	it("resets the stream that lost, whichever it is", async () => {
		for (const winner of [1, 2]) {
			const streams: ServerHttp2Stream[] = [];
			const port = await upstreamOf((stream) => {
				streams.push(stream);
				if (streams.length !== 2) return;
				const answering = streams[winner - 1] as ServerHttp2Stream;
				answering.respond({ ":status": 200, "x-by": `${winner}` });
				answering.end(`by ${winner}`);
			});
			const answer = await request(await clientOf(port), { ":path": "/" });
			assert.equal(`${answer.headers["x-by"]} ${answer.body}`, `${winner} by ${winner}`);
			const loser = streams[2 - winner] as ServerHttp2Stream;
			await closed(loser);
			assert.equal(loser.rstCode, errorCode.internalError);
			assert.equal((streams[winner - 1] as ServerHttp2Stream).rstCode, 0);
		}
	});

	it("closes the connection of HTTP/1 that lost", async () => {
		const sockets: Socket[] = [];
		const upstream = await startUpstream((socket) => {
			sockets.push(socket);
			if (sockets.length === 2) (sockets[0] as Socket).write(ok("first"));
		});
		closers.push(() => upstream.close());
		const response = await get(await serve(upstream.port), "/");
		assert.deepEqual([statusOf(response), bodyOf(response)], [200, "first"]);
		const [, loser] = sockets;
		await closed(loser as Socket);
		assert.equal(sockets[0]?.destroyed, false);
	});

	it("resets all of them when the client goes", async () => {
		const streams: ServerHttp2Stream[] = [];
		const { promise: bothThere, resolve } = Promise.withResolvers<void>();
		const port = await upstreamOf((stream) => {
			if (streams.push(stream) === 2) resolve();
		});
		const session = await clientOf(port);
		const asked = request(session, { ":path": "/" }).catch(() => undefined);
		await bothThere;
		session.destroy();
		await asked;
		for (const stream of streams) {
			await closed(stream);
			assert.equal(stream.rstCode, errorCode.internalError);
		}
	});

	it("never mixes two answers, in streams that are used again and again", async () => {
		// After how many try timeouts each attempt answers, and how; the sum of all is what a request can meet.
		const plans = [0, 1.5, 2.5, 9].flatMap((first) => ["good", "bad", "reset"].map((how) => ({ first, how })));
		const port = await upstreamOf((stream, headers) => {
			const path = String(headers[":path"]);
			const plan = plans[Number(path.slice(1)) % plans.length] as (typeof plans)[number];
			const attempt = (seen.get(path) ?? 0) + 1;
			seen.set(path, attempt);
			const answer = () => {
				if (stream.closed || stream.destroyed) return;
				if (attempt === 1 && plan.how === "reset") return stream.close(errorCode.internalError);
				const status = attempt === 1 && plan.how === "bad" ? 500 : 200;
				const by = `${path} ${attempt} ${status}`;
				stream.respond({ ":status": status, "x-by": by });
				stream.write(`${by}\n`);
				stream.end("x".repeat(20_000 + attempt));
			};
			setTimeout(answer, tryMs * (attempt === 1 ? plan.first : attempt === 2 ? 1.7 : 0));
		});
		const seen = new Map<string, number>();
		const session = await clientOf(port);
		for (let round = 0; round < 3; round++) {
			const answers = await Promise.all(plans.map((_, i) => request(session, { ":path": `/${round * plans.length + i}` })));
			answers.forEach((answer, i) => {
				const [line = "", rest = ""] = answer.body.toString().split("\n");
				assert.equal(answer.headers["x-by"], line);
				assert.ok(line.startsWith(`/${round * plans.length + i} `) && line.endsWith(" 200"), line);
				assert.equal(rest.length, 20_000 + Number(line.split(" ")[1]));
			});
		}
	});
});
