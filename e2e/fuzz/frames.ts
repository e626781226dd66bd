import { frame } from "../../packages/proxy/src/data/http2/test-frames.ts";

/** What stands before the payload in the compact form: type, flags, stream, length. */
const headBytes = 4;

/**
 * Input for a session: raw when it begins as frames do, with the high byte of a length, which is 0. Else frames in a
 * compact form, so that what a mutation adds or takes away leaves the frames behind it what they were.
 */
export function expandFrames(data: Buffer): Buffer {
	if (data.length === 0 || data[0] === 0) return data;
	const frames: Buffer[] = [];
	for (let at = 1; at + headBytes <= data.length; ) {
		const [type, flags, stream, length] = data.subarray(at, at + headBytes) as unknown as [number, number, number, number];
		const payload = data.subarray(at + headBytes, at + headBytes + length);
		frames.push(frame(type, flags, stream, payload));
		at += headBytes + payload.length;
	}
	return Buffer.concat(frames);
}
