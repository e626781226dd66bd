import type { Outbound } from "./outbound.ts";
import { frameFlag, frameHeaderBytes, frameType, settingId } from "./protocol.ts";

export function putFrameHeader(bytes: Buffer, at: number, length: number, type: number, flags: number, streamId: number): void {
	bytes[at] = length >>> 16;
	bytes[at + 1] = (length >>> 8) & 255;
	bytes[at + 2] = length & 255;
	bytes[at + 3] = type;
	bytes[at + 4] = flags;
	putUint32(bytes, at + 5, streamId);
}

function putUint32(bytes: Buffer, at: number, value: number): void {
	bytes[at] = value >>> 24;
	bytes[at + 1] = (value >>> 16) & 255;
	bytes[at + 2] = (value >>> 8) & 255;
	bytes[at + 3] = value & 255;
}

/** Gives the position of the payload. */
function begin(outbound: Outbound, length: number, type: number, flags: number, streamId: number): number {
	outbound.reserve(frameHeaderBytes + length);
	const at = outbound.length;
	putFrameHeader(outbound.bytes, at, length, type, flags, streamId);
	outbound.length = at + frameHeaderBytes + length;
	outbound.frames++;
	return at + frameHeaderBytes;
}

/** `values`: of `settingId`, absent ones are left at their defaults. */
export function writeSettings(outbound: Outbound, values: Readonly<Partial<Record<keyof typeof settingId, number>>>): void {
	const entries = Object.entries(values) as [keyof typeof settingId, number][];
	let at = begin(outbound, 6 * entries.length, frameType.settings, 0, 0);
	for (const [name, value] of entries) {
		const id = settingId[name];
		outbound.bytes[at] = id >>> 8;
		outbound.bytes[at + 1] = id & 255;
		putUint32(outbound.bytes, at + 2, value);
		at += 6;
	}
}

export function writeSettingsAck(outbound: Outbound): void {
	begin(outbound, 0, frameType.settings, frameFlag.ack, 0);
	outbound.controlFrames++;
}

/** `payload`: 8 bytes from `start` on. */
export function writePing(outbound: Outbound, payload: Buffer, start: number, isAck: boolean): void {
	const at = begin(outbound, 8, frameType.ping, isAck ? frameFlag.ack : 0, 0);
	payload.copy(outbound.bytes, at, start, start + 8);
	if (isAck) outbound.controlFrames++;
}

export function writeReset(outbound: Outbound, streamId: number, code: number): void {
	const at = begin(outbound, 4, frameType.rstStream, 0, streamId);
	putUint32(outbound.bytes, at, code);
	outbound.controlFrames++;
}

export function writeWindowUpdate(outbound: Outbound, streamId: number, increment: number): void {
	const at = begin(outbound, 4, frameType.windowUpdate, 0, streamId);
	putUint32(outbound.bytes, at, increment);
}

export function writeGoaway(outbound: Outbound, lastStreamId: number, code: number, debug: string): void {
	const at = begin(outbound, 8 + debug.length, frameType.goaway, 0, 0);
	putUint32(outbound.bytes, at, lastStreamId);
	putUint32(outbound.bytes, at + 4, code);
	outbound.bytes.write(debug, at + 8, "latin1");
}

/** Gives the position of the frame's header, whose flags may be changed until the next flush. */
export function writeData(outbound: Outbound, streamId: number, bytes: Buffer, start: number, end: number, isEndStream: boolean): number {
	const at = begin(outbound, end - start, frameType.data, isEndStream ? frameFlag.endStream : 0, streamId);
	bytes.copy(outbound.bytes, at, start, end);
	return at - frameHeaderBytes;
}

/**
 * HEADERS, and CONTINUATION where the peer's frames are smaller (RFC 9113 §4.3), around a block that lies behind the place
 * for its first header at `at`.
 */
export function endHeaders(outbound: Outbound, at: number, size: number, streamId: number, isEndStream: boolean, peerFrameSizeMax: number): void {
	const { bytes } = outbound;
	const start = at + frameHeaderBytes;
	const first = Math.min(size, peerFrameSizeMax);
	const endStream = isEndStream ? frameFlag.endStream : 0;
	putFrameHeader(bytes, at, first, frameType.headers, endStream | (first === size ? frameFlag.endHeaders : 0), streamId);
	const pieces = Math.ceil((size - first) / peerFrameSizeMax);
	// From the last one on, each moves by the headers in front of it.
	for (let i = pieces; i > 0; i--) {
		const from = start + i * peerFrameSizeMax;
		const end = Math.min(start + size, from + peerFrameSizeMax);
		const target = from + i * frameHeaderBytes;
		bytes.copyWithin(target, from, end);
		putFrameHeader(bytes, target - frameHeaderBytes, end - from, frameType.continuation, i === pieces ? frameFlag.endHeaders : 0, streamId);
	}
	outbound.length = start + size + pieces * frameHeaderBytes;
	outbound.frames += 1 + pieces;
}
