import { checkSame } from "./invariants.ts";

/** All prefixes of a short input, some of a long one. */
const prefixesMax = 256;

/** The verdict over the first bytes of a connection holds for all of them, once there is one. */
export function checkPrefixes<T>(data: Buffer, judge: (bytes: Buffer) => T, isIncomplete: (verdict: T) => boolean): T {
	const whole = judge(data);
	const step = Math.ceil(data.length / prefixesMax) || 1;
	for (let length = 0; length < data.length; length += step) {
		const verdict = judge(data.subarray(0, length));
		if (!isIncomplete(verdict)) checkSame(verdict, whole, `the first ${length} of ${data.length} bytes were judged differently`);
	}
	return whole;
}
