import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultHeadLimits, parseRequestHead } from "../codec/head-parser.ts";
import { RequestHead } from "../codec/request-head.ts";
import { forwardTo } from "../worker/standalone.ts";
import { formatGrpcTimeout, parseGrpcTimeout, resolveTimeoutMs } from "./grpc-timeout.ts";

describe("grpc-timeout", () => {
	const texts = [
		["1H", 3_600_000],
		["2M", 120_000],
		["3S", 3000],
		["250m", 250],
		["1u", 1],
		["1500000n", 2],
		["123456789m", undefined],
		["1", undefined],
		["m", undefined],
		["-1S", undefined],
		[undefined, undefined],
	] as const;
	it("is written in the finest unit that it fits in", () =>
		assert.deepEqual([0, 99_999_999, 100_000_500, 99_999_999_999, 2 ** 42].map(formatGrpcTimeout), ["0m", "99999999m", "100000S", "99999999S", "73300775M"]));
	for (const [text, ms] of texts) it(`${text} is ${ms ?? "no timeout"}`, () => assert.equal(parseGrpcTimeout(text), ms));
});

describe("the timeout of a request", () => {
	const requestOf = (headers: string) => {
		const head = new RequestHead();
		const bytes = Buffer.from(`POST / HTTP/1.1\r\nhost: h\r\n${headers}\r\n`);
		parseRequestHead(head, bytes, 0, bytes.length, defaultHeadLimits);
		return head;
	};
	const grpc = "content-type: application/grpc\r\n";
	const cases = [
		["is the route's", 1000, undefined, `${grpc}grpc-timeout: 5S\r\n`, 1000],
		["is the route's for what is not gRPC", 1000, 0, "content-type: text/plain\r\ngrpc-timeout: 5S\r\n", 1000],
		["is what the caller asks for", 1000, 0, `${grpc}grpc-timeout: 5S\r\n`, 5000],
		["is at most the route's cap", 1000, 2000, `${grpc}grpc-timeout: 5S\r\n`, 2000],
		["is the cap where the caller says nothing", 1000, 2000, grpc, 2000],
		["is none where nobody says anything", 1000, 0, grpc, 0],
	] as const;
	for (const [name, timeoutMs, grpcTimeoutMaxMs, headers, expected] of cases) {
		it(name, () => assert.equal(resolveTimeoutMs({ ...forwardTo("c"), timeoutMs, grpcTimeoutMaxMs }, requestOf(headers)), expected));
	}
});
