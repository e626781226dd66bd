import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { http2Stat } from "./http2-stats.ts";
import { errorCode, frameFlag, frameType } from "./protocol.ts";
import { block, frame, headers, requestFields, settings, uint32 } from "./test-frames.ts";
import { TestSession } from "./test-session.ts";

const { enhanceYourCalm } = errorCode;
const open = headers(1, requestFields(), frameFlag.endHeaders);
const ping = frame(frameType.ping, 0, 0, "12345678");
const priority = frame(frameType.priority, 0, 1, uint32(3, 0).subarray(0, 5));
const update = frame(frameType.windowUpdate, 0, 1, uint32(1));

/** What a hostile client sends again and again, how often it may, and under which name that is counted. */
const floods: readonly (readonly [title: string, before: readonly Buffer[], piece: (i: number) => Buffer, allowed: number, stat: number | undefined])[] = [
	["PING whose answers are not read", [], () => ping, 1000, http2Stat.outbound_control_flood],
	["SETTINGS whose acknowledgements are not read", [], () => settings(), 1000, http2Stat.outbound_control_flood],
	["empty DATA", [open], () => frame(frameType.data, 0, 1), 1, http2Stat.inbound_empty_frames_flood],
	["DATA of nothing but padding", [open], () => frame(frameType.data, frameFlag.padded, 1, "\x02ab"), 1, http2Stat.inbound_empty_frames_flood],
	["empty CONTINUATION", [headers(1, requestFields(), 0)], () => frame(frameType.continuation, 0, 1), 1, http2Stat.inbound_empty_frames_flood],
	["PRIORITY", [open], () => priority, 200, http2Stat.inbound_priority_frames_flood],
	["WINDOW_UPDATE", [open], () => update, 7, http2Stat.inbound_window_update_frames_flood],
	["CONTINUATION without end", [headers(1, requestFields(), 0)], () => frame(frameType.continuation, 0, 1, Buffer.alloc(16_000)), 8, http2Stat.header_overflow],
	["GOAWAY", [], () => frame(frameType.goaway, 0, 0, uint32(0, 0)), 9999, http2Stat.outbound_control_flood],
	["unknown frames", [], () => frame(0x66, 0, 0), 9999, http2Stat.outbound_control_flood],
];

const errorOf = (session: TestSession): TestSession["error"] => session.error;

describe("floods", () => {
	for (const [title, before, piece, allowed, stat] of floods) {
		it(`${title}: ${allowed} are taken, one more ends the connection`, () => {
			const session = new TestSession();
			session.isReading = false;
			session.feed(settings(), ...before);
			void session.frames;
			for (let i = 0; i < allowed; i++) session.feed(piece(i));
			assert.equal(session.error, undefined);
			session.feed(piece(allowed));
			assert.equal(errorOf(session)?.code, enhanceYourCalm);
			assert.deepEqual(session.stats.filter((counted) => counted === stat).length, 1);
		});
	}

	it("a client that reads its answers may PING as often as it likes", () => {
		const session = new TestSession();
		session.feed(settings());
		for (let i = 0; i < 20; i++) {
			session.feed(...Array.from({ length: 900 }, () => ping));
			void session.frames;
		}
		assert.equal(session.error, undefined);
	});

	it("streams opened only to be reset (CVE-2023-44487): 500, then no more", () => {
		const session = new TestSession();
		session.feed(settings());
		let id = 1;
		const next = (): void => {
			session.feed(headers(id, requestFields()), frame(frameType.rstStream, 0, id, uint32(errorCode.cancel)));
			void session.frames;
			id += 2;
		};
		for (let i = 0; i < 499; i++) next();
		assert.equal(session.error, undefined);
		next();
		assert.equal(errorOf(session)?.name, "PrematureResetsError");
		assert.equal(errorOf(session)?.code, enhanceYourCalm);
	});

	it("streams that we are made to reset (CVE-2025-8671) count alike", () => {
		const session = new TestSession({ isStreamErrorOnInvalidMessage: true });
		session.feed(settings());
		for (let id = 1; id < 1002; id += 2) {
			session.feed(headers(id, requestFields()), frame(frameType.windowUpdate, 0, id, uint32(0)));
			void session.frames;
		}
		assert.equal(errorOf(session)?.name, "PrematureResetsError");
	});

	it("streams that are reset after a while are no flood", () => {
		const session = new TestSession();
		session.feed(settings());
		for (let id = 1; id < 2000; id += 2) {
			session.feed(headers(id, requestFields()));
			session.nowMs += 1000;
			session.feed(frame(frameType.rstStream, 0, id, uint32(errorCode.cancel)));
			void session.frames;
		}
		assert.equal(session.error, undefined);
	});

	it("a block that grows by indexes into the table is not kept beyond the limit", () => {
		const session = new TestSession();
		session.feed(settings());
		const large = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 0x78)]);
		session.feed(frame(frameType.headers, 5, 1, Buffer.concat([block(requestFields()), large, Buffer.alloc(10_000, 0xbe)])));
		assert.ok(session.events.includes("malformed http2.header_list_size_too_large 1"));
	});

	it("what waits for windows is bounded over all streams", () => {
		const session = new TestSession();
		session.feed(settings([4, 0]), open);
		const stream = session.session.streams.get(1);
		assert.ok(stream !== undefined);
		for (let i = 0; i < 600 && session.error === undefined; i++) session.session.sender.sendData(stream, Buffer.alloc(65_536), 0, 65_536);
		assert.equal(errorOf(session)?.code, enhanceYourCalm);
	});

	it("a client that reads nothing is not kept once 10 000 frames wait for it", () => {
		const session = new TestSession({ maxConcurrentStreams: 20_000, outboundControlFramesMax: 1_000_000 });
		session.feed(settings());
		session.isReading = false;
		void session.frames;
		for (let i = 0; i < 10_001; i++) session.feed(ping);
		assert.equal(session.stats.filter((stat) => stat === http2Stat.outbound_flood).length, 1);
	});
});
