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

/** `digits` of hex, never all zeros. */
export function randomId(random: () => number, digits: 16 | 32): string {
	let id = "";
	while (id.length < digits)
		id += Math.floor(random() * 0x1_0000_0000)
			.toString(16)
			.padStart(8, "0");
	return /[^0]/.test(id) ? id : `${id.slice(1)}1`;
}
