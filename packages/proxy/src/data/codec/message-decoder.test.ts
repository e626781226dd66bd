import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultHeadLimits, type HeadError, type HeadLimits, parseRequestHead, parseResponseHead } from "./head-parser.ts";
import { MessageDecoder } from "./message-decoder.ts";
import { RequestHead } from "./request-head.ts";
import { ResponseHead } from "./response-head.ts";

/** What a decoder said, bodies joined, so that the pieces do not show. */
function decodeRequests(pieces: readonly Buffer[], limits: HeadLimits = defaultHeadLimits): readonly string[] {
	const events: string[] = [];
	let body = "";
	const head = new RequestHead();
	const decoder: MessageDecoder = new MessageDecoder(
		{
			onHead() {
				const lines: string[] = [];
				head.forEach((name, value) => lines.push(`${name}=${value}`));
				events.push(`head ${head.method} ${head.path} @${head.authority} ${head.version} [${lines.join("|")}]`);
				if (head.isChunked) return { kind: "chunked", length: 0 };
				return { kind: head.contentLength > 0 ? "length" : "none", length: head.contentLength };
			},
			onBody: (bytes, start, end) => (body += bytes.latin1Slice(start, end)),
			onTrailer: (name, value) => void events.push(`trailer ${name}=${value}`),
			onMessageEnd() {
				events.push(`end ${body}`);
				body = "";
				decoder.release();
			},
			onMalformed: (error: HeadError) => events.push(`malformed ${error.status} ${error.details}`),
		},
		(bytes, start, end) => {
			head.clear();
			return parseRequestHead(head, bytes, start, end, limits);
		},
		limits,
	);
	// Fresh memory for each piece, overwritten afterwards, as the shared read buffer is.
	for (const piece of pieces) {
		const shared = Buffer.from(piece);
		decoder.feed(shared, 0, shared.length);
		shared.fill(0x21);
	}
	return events;
}

const simple = "GET /a?b=c HTTP/1.1\r\nHost: x.test\r\nX-One:  1 \r\nx-two: 2\r\n\r\n";
const length = "POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello";
const chunked = "POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 7\r\n\r\n";

describe("request decoder", () => {
	const whole = `${simple}${length}\r\n${chunked}${simple}`;
	const expected = [
		"head GET /a?b=c @x.test 11 [x-one=1|x-two=2]",
		"end ",
		"head POST /p @h 11 [content-length=5]",
		"end hello",
		"head POST /c @h 11 [transfer-encoding=chunked]",
		"trailer x-sum=7",
		"end hello!",
		"head GET /a?b=c @x.test 11 [x-one=1|x-two=2]",
		"end ",
	];

	it("reads pipelined messages of every framing", () => {
		assert.deepEqual(decodeRequests([Buffer.from(whole)]), expected);
	});

	it("says the same wherever the input is split in two", () => {
		const bytes = Buffer.from(whole);
		for (let at = 1; at < bytes.length; at++) assert.deepEqual(decodeRequests([bytes.subarray(0, at), bytes.subarray(at)]), expected, `split at ${at}`);
	});

	it("says the same when the input comes in pieces of any one size", () => {
		const bytes = Buffer.from(whole);
		for (let size = 1; size < 80; size++) {
			const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
			assert.deepEqual(decodeRequests(pieces), expected, `pieces of ${size}`);
		}
	});

	const head = (lines: string) => `GET / HTTP/1.1\r\nhost: h\r\n${lines}\r\n`;
	const refusals: readonly (readonly [string, string, string])[] = [
		["a length beside chunks", head("content-length: 5\r\ntransfer-encoding: chunked\r\n"), "400 http1.content_length_and_chunked_not_allowed"],
		["chunks beside a length", head("transfer-encoding: chunked\r\ncontent-length: 5\r\n"), "400 http1.content_length_and_chunked_not_allowed"],
		["two equal lengths", head("content-length: 5\r\ncontent-length: 5\r\n"), "400 http1.codec_error"],
		["a listed length", head("content-length: 5, 5\r\n"), "400 http1.codec_error"],
		["a signed length", head("content-length: +5\r\n"), "400 http1.codec_error"],
		["a hexadecimal length", head("content-length: 0x5\r\n"), "400 http1.codec_error"],
		["an empty length", head("content-length: \r\n"), "400 http1.codec_error"],
		["an unknown transfer coding", head("transfer-encoding: gzip\r\n"), "501 http1.invalid_transfer_encoding"],
		["a coding before chunked", head("transfer-encoding: identity, chunked\r\n"), "501 http1.invalid_transfer_encoding"],
		["chunked twice", head("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), "501 http1.invalid_transfer_encoding"],
		["white space before the colon", head("x : 1\r\n"), "400 http1.codec_error"],
		["a folded line", head("x: 1\r\n folded\r\n"), "400 http1.codec_error"],
		["a bare line feed", "GET / HTTP/1.1\nhost: h\n\n", "400 http1.codec_error"],
		["a bare line feed in a value", head("x: 1\ny: 2\r\n"), "400 http1.invalid_characters"],
		["a bare carriage return in a value", head("x: 1\ry\r\n"), "400 http1.invalid_characters"],
		["NUL in a value", head("x: a\0b\r\n"), "400 http1.invalid_characters"],
		["NUL in a name", head("x\0: a\r\n"), "400 http1.codec_error"],
		["a line without a name", head(": a\r\n"), "400 http1.codec_error"],
		["two hosts", head("host: other\r\n"), "400 http1.ambiguous_host"],
		["a host with user info", "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", "400 http1.ambiguous_host"],
		["a host with a path", "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", "400 http1.ambiguous_host"],
		["an absolute target with an unlikely host", 'GET http://a"<b/ HTTP/1.1\r\n\r\n', "400 http1.invalid_url"],
		["a CONNECT with content", "CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\ncontent-length: 5\r\n\r\n", "400 http1.codec_error"],
		["a method that no RFC names", "BREW / HTTP/1.1\r\nhost: h\r\n\r\n", "400 http1.codec_error"],
		["a target beyond ASCII", "GET /caf\xe9 HTTP/1.1\r\nhost: h\r\n\r\n", "400 http1.codec_error"],
		["a target that is no path", "GET foo HTTP/1.1\r\nhost: h\r\n\r\n", "400 http1.codec_error"],
		["a space in the target", "GET /a b HTTP/1.1\r\nhost: h\r\n\r\n", "400 http1.codec_error"],
		["HTTP/1.0", "GET / HTTP/1.0\r\nhost: h\r\n\r\n", "426 low_version"],
		["HTTP/2.0 in the request line", "GET / HTTP/2.0\r\nhost: h\r\n\r\n", "426 low_version"],
		["HTTP/0.9", "GET /\r\n", "400 http1.codec_error"],
		["101 headers", head(Array.from({ length: 101 }, (_, i) => `x-${i}: 1\r\n`).join("")), "431 http1.too_many_headers"],
		["a length hidden behind 2 001 headers", head(`${"x: 1\r\n".repeat(2001)}content-length: 5\r\n`), "431 http1.too_many_headers"],
		["a head of more than 60 KiB", head(`x: ${"a".repeat(61 * 1024)}\r\n`), "431 http1.headers_too_large"],
	];
	for (const [what, input, verdict] of refusals) {
		it(`refuses ${what}, in one piece and byte by byte`, () => {
			assert.deepEqual(decodeRequests([Buffer.from(input, "latin1")]), [`malformed ${verdict}`]);
			if (input.length > 20_000) return;
			const bytes = Buffer.from(input, "latin1");
			assert.deepEqual(decodeRequests(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))), [`malformed ${verdict}`]);
		});
	}

	const chunkHead = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
	const badChunks: readonly (readonly [string, string])[] = [
		["an empty size", "\r\nhello\r\n"],
		["a size with a prefix", "0x5\r\nhello\r\n"],
		["a negative size", "-5\r\nhello\r\n"],
		["a size with white space", "5 \r\nhello\r\n"],
		["a size of 13 digits", "0000000000005\r\nhello\r\n"],
		["a size line that ends in a bare line feed", "5\nhello\r\n"],
		["an extension with a bare carriage return", "5;a\rb\r\nhello\r\n"],
		["data longer than its size", "5\r\nhello!\r\n"],
		["data that ends in a bare line feed", "5\r\nhello\n"],
		["a length among the trailers", "0\r\ncontent-length: 5\r\n\r\n"],
		["a trailer without a colon", "0\r\nnonsense\r\n\r\n"],
		["an extension of more than 16 KiB", `5;${"a".repeat(17 * 1024)}\r\nhello\r\n`],
	];
	for (const [what, input] of badChunks) {
		it(`refuses a chunk with ${what}`, () => {
			assert.equal(decodeRequests([Buffer.from(chunkHead + input, "latin1")]).at(-1), "malformed 400 http1.codec_error");
		});
	}

	it("takes the authority and the path of an absolute target", () => {
		assert.deepEqual(decodeRequests([Buffer.from("GET http://a.test:80?x HTTP/1.1\r\nhost: a.test:80\r\n\r\n")]), ["head GET /?x @a.test:80 11 []", "end "]);
	});

	it("takes `__proto__` for a name like any other", () => {
		assert.deepEqual(decodeRequests([Buffer.from(head("__proto__: 1\r\n"))]), ["head GET / @h 11 [__proto__=1]", "end "]);
	});

	it("accepts HTTP/1.0 when told to", () => {
		assert.deepEqual(decodeRequests([Buffer.from("GET / HTTP/1.0\r\n\r\n")], { ...defaultHeadLimits, acceptHttp10: true }), ["head GET / @ 10 []", "end "]);
	});

	it("searches a trickling head once, not once a byte", () => {
		const bytes = Buffer.from(head(`x: ${"a".repeat(50_000)}\r\n`));
		const pieces = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
		const [first] = decodeRequests(pieces);
		assert.ok(first?.startsWith("head GET /"));
	});
});

describe("response head", () => {
	const parse = (text: string) => {
		const head = new ResponseHead();
		const bytes = Buffer.from(text, "latin1");
		const length = parseResponseHead(head, bytes, 0, bytes.length, defaultHeadLimits);
		return { length, head };
	};
	it("reads status, reason, framing and whether the peer closes", () => {
		const { head, length } = parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
		assert.deepEqual([length > 0, head.status, head.contentLength, head.isChunked, head.isClose], [true, 200, 3, false, true]);
	});
	it("does without a reason", () => {
		assert.equal(parse("HTTP/1.1 204\r\n\r\n").head.status, 204);
		assert.equal(parse("HTTP/1.1 204 \r\n\r\n").head.status, 204);
	});
	it("takes HTTP/1.0 for a peer that closes unless it says otherwise", () => {
		assert.equal(parse("HTTP/1.0 200 OK\r\n\r\n").head.isClose, true);
		assert.equal(parse("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n").head.isClose, false);
	});
	for (const bad of [
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 099 X\r\n\r\n",
		"HTTP/1.1 200 OK\nx: 1\n\n",
		"XTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
	]) {
		it(`refuses ${JSON.stringify(bad)}`, () => assert.ok(parse(bad).length < 0));
	}
});

describe("header edits", () => {
	it("sends untouched lines as they came, leaves out removed ones, and adds new ones", async () => {
		const { Output } = await import("../transport/output.ts");
		const head = new RequestHead();
		const bytes = Buffer.from("GET / HTTP/1.1\r\nhost: h\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n");
		assert.ok(parseRequestHead(head, bytes, 0, bytes.length, defaultHeadLimits) > 0);
		assert.equal(head.remove("b"), true);
		head.set("c", "new\r\nevil: 1");
		head.append("e", "5");
		head.append("e", "6");
		assert.deepEqual([head.get("a"), head.get("b"), head.get("c"), head.get("e"), head.has("d")], ["1", undefined, "newevil: 1", "5,6", true]);
		const output = new Output();
		head.encodeLines(output);
		assert.equal(output.bytes.latin1Slice(0, output.length), "a: 1\r\nd: 4\r\nc: newevil: 1\r\ne: 5\r\ne: 6\r\n");
	});
});
