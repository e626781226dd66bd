/** One finished or running operation of a trace. */
export interface Span {
	/** 16 or 32 digits of lower-case hex. */
	readonly traceId: string;
	readonly spanId: string;
	/** "": none. */
	readonly parentId: string;
	readonly isSampled: boolean;
	readonly kind: "server" | "client";
	/** Zipkin: the caller's span and this one are two halves of one. */
	readonly isShared: boolean;
	/** OpenTelemetry: the parent is of another process. */
	readonly isParentRemote: boolean;
	readonly state: string;
	name: string;
	/** Epoch microseconds. */
	readonly startUs: number;
	durationUs: number;
	isError: boolean;
	/** In the order in which they were set. */
	readonly tags: (readonly [name: string, value: string])[];
	/** Epoch microseconds. */
	readonly events: (readonly [name: string, atUs: number])[];
}

const hexDigits: Uint8Array = Buffer.from("0123456789abcdef");
const text = Buffer.alloc(32);

/** `digits` of hex, never all zeros. */
export function randomId(random: () => number, digits: 16 | 32): string {
	let seen = 0;
	for (let at = 0; at < digits; ) {
		let bits = Math.floor(random() * 0x1_0000_0000) | 0;
		seen |= bits;
		for (let i = 0; i < 8; i++) {
			text[at++] = hexDigits[bits & 15] as number;
			bits >>>= 4;
		}
	}
	if (seen === 0) text[digits - 1] = 0x31;
	return text.latin1Slice(0, digits);
}
