// proto3 JSON of the well-known types, in the native shapes that ts-proto gives them.

const wrappers: Readonly<Record<string, string>> = {
	"google.protobuf.DoubleValue": "double",
	"google.protobuf.FloatValue": "float",
	"google.protobuf.Int64Value": "int64",
	"google.protobuf.UInt64Value": "uint64",
	"google.protobuf.Int32Value": "int32",
	"google.protobuf.UInt32Value": "uint32",
	"google.protobuf.BoolValue": "bool",
	"google.protobuf.StringValue": "string",
	"google.protobuf.BytesValue": "bytes",
};

/** The scalar type inside a wrapper message, which the generated code shows as that scalar. */
export function wrappedScalar(typeName: string): string | undefined {
	return wrappers[typeName];
}

interface Instant {
	readonly seconds: bigint;
	readonly nanos: number;
}

function fraction(nanos: number): string {
	if (nanos === 0) return "";
	const digits = Math.abs(nanos).toString().padStart(9, "0");
	const short = digits.endsWith("000000") ? digits.slice(0, 3) : digits.endsWith("000") ? digits.slice(0, 6) : digits;
	return `.${short}`;
}

export function durationToJson({ seconds, nanos }: Instant): string {
	const negative = seconds < 0n || nanos < 0;
	const whole = seconds < 0n ? -seconds : seconds;
	return `${negative ? "-" : ""}${whole}${fraction(nanos)}s`;
}

export function durationFromJson(text: string): Instant | undefined {
	const match = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text);
	if (!match) return undefined;
	const sign = match[1] === "-" ? -1 : 1;
	const nanos = Number((match[3] ?? "").padEnd(9, "0")) * sign;
	// The protobuf limit: ±315,576,000,000 s.
	const seconds = BigInt(match[2] ?? "0");
	if (seconds > 315_576_000_000n) return undefined;
	return { seconds: sign < 0 ? -seconds : seconds, nanos: nanos === 0 ? 0 : nanos };
}

export function timestampToJson({ seconds, nanos }: Instant): string {
	const base = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
	return `${base}${fraction(nanos)}Z`;
}

export function timestampFromJson(text: string): Instant | undefined {
	const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
	if (!match) return undefined;
	const ms = Date.parse(`${match[1]}${match[3]}`);
	if (Number.isNaN(ms)) return undefined;
	return { seconds: BigInt(ms / 1000), nanos: Number((match[2] ?? "").padEnd(9, "0")) };
}
