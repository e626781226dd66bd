import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { errorCode, frameFlag, frameType } from "../../packages/proxy/src/data/http2/protocol.ts";
import { frame, headers, openRawClient, type ReceivedFrame } from "../../packages/proxy/src/data/http2/test-frames.ts";
import { assertClean, assertServes, type Fixture, startFixture } from "./fixture.ts";

// Fields that HTTP/2 can carry and that would be read as something else once they are lines of HTTP/1 (Envoy
// CVE-2023-27491 and -27493, undici CVE-2026-1525): refused by RFC 9113 §8.2, before the upstream sees a byte.
type Fields = readonly (readonly [name: string, value: string])[];

const request = ({ method = "POST", path = "/a", authority = "a.test" } = {}): Fields => [
	[":method", method],
	[":scheme", "http"],
	[":path", path],
	[":authority", authority],
];
const withField = (name: string, value: string): Fields => [...request(), [name, value]];
const smuggled = "x\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";

const heads: Readonly<Record<string, Fields>> = {
	"a line end in a value": withField("x-a", smuggled),
	"a line feed in a value": withField("x-a", "1\nx-b: 2"),
	"a carriage return in a value": withField("x-a", "1\rx-b: 2"),
	"NUL in a value": withField("x-a", "a\0b"),
	"a line end in a name": withField("x-a: 1\r\nx-b", "2"),
	"NUL in a name": withField("x\0a", "1"),
	"a colon in a name": withField("x-a: 1", "2"),
	"a space in a name": withField("x a", "1"),
	"a capital in a name": withField("X-a", "1"),
	"an empty name": withField("", "1"),
	"transfer-encoding": withField("transfer-encoding", "chunked"),
	connection: withField("connection", "x-a"),
	"keep-alive": withField("keep-alive", "timeout=5"),
	"proxy-connection": withField("proxy-connection", "keep-alive"),
	upgrade: withField("upgrade", "h2c"),
	"te that is not trailers": withField("te", "gzip"),
	"two lengths": [...request(), ["content-length", "5"], ["content-length", "6"]],
	"two equal lengths": [...request(), ["content-length", "5"], ["content-length", "5"]],
	"a listed length": withField("content-length", "5, 5"),
	"a signed length": withField("content-length", "+5"),
	"a hexadecimal length": withField("content-length", "0x5"),
	"a space in the method": request({ method: "GET /smuggled HTTP/1.1\r\nx:" }),
	"a line end in the path": request({ path: `/ HTTP/1.1\r\nx: ${smuggled}` }),
	"a space in the path": request({ path: "/a b" }),
	"a line end in the authority": request({ authority: `a.test\r\n${smuggled}` }),
	"a second path": withField(":path", "/b"),
	"a pseudo-header behind a field": [...request(), ["x-a", "1"], [":authority", "b.test"]],
};

describe("sec/a6: what HTTP/2 carries does not split in HTTP/1", () => {
	let fixture: Fixture;
	before(async () => {
		fixture = await startFixture({ listeners: { front: {} } });
	});
	after(() => fixture?.stop());
	afterEach(() => assertClean(fixture));

	/** The code with which a request is refused, by its stream or its connection. */
	async function refusal(...frames: readonly Buffer[]): Promise<number> {
		const peer = await openRawClient(fixture.proxy.port("front"));
		try {
			peer.send(...frames);
			const refused = ({ type, streamId }: ReceivedFrame) => type === frameType.goaway || (type === frameType.rstStream && streamId === 1);
			const { type, payload } = await peer.next((found) => refused(found) || (found.type === frameType.headers && found.streamId === 1));
			assert.notEqual(type, frameType.headers, "it was answered");
			return payload.readUInt32BE(type === frameType.goaway ? 4 : 0);
		} finally {
			peer.close();
		}
	}

	async function assertRefused(...frames: readonly Buffer[]): Promise<void> {
		assert.equal(await refusal(...frames), errorCode.protocolError);
		await assertServes(fixture.proxy.port("front"));
		// What the probe asked for, and nothing before it.
		assert.deepEqual(
			fixture.upstream.seen.map(({ target }) => target.replace(/\d+$/, "")),
			["/probe/"],
		);
	}

	for (const [name, fields] of Object.entries(heads)) {
		test(`sec/a6: ${name}`, () => assertRefused(headers(1, fields, frameFlag.endHeaders), frame(frameType.data, frameFlag.endStream, 1, "12345")));
	}

	test("sec/a6: a length without a body", () => assertRefused(headers(1, withField("content-length", "5"))));
	test("sec/a6: a body shorter than its length", () =>
		assertRefused(headers(1, withField("content-length", "50"), frameFlag.endHeaders), frame(frameType.data, frameFlag.endStream, 1, "12345")));
	test("sec/a6: a body longer than its length", () =>
		assertRefused(headers(1, withField("content-length", "2"), frameFlag.endHeaders), frame(frameType.data, frameFlag.endStream, 1, `12${smuggled}`)));
	test("sec/a6: trailers that end lines", () =>
		assertRefused(headers(1, request(), frameFlag.endHeaders), frame(frameType.data, 0, 1, "12345"), headers(1, [["x-sum", smuggled]])));
	test("sec/a6: trailers with a pseudo-header", () =>
		assertRefused(headers(1, request(), frameFlag.endHeaders), frame(frameType.data, 0, 1, "12345"), headers(1, [[":path", "/b"]])));
});
