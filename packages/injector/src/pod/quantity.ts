/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */
const pattern = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d{1,2})?$/;
const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] as const;
const decimalSuffixes = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"] as const;
const nanosPerUnit = 1_000_000_000n;

/** The shortest spelling of a quantity, as an API server stores it (2000m → 2, 1024Mi → 1Gi); undefined if it is none. */
export function canonicalQuantity(text: string): string | undefined {
	const match = pattern.exec(text);
	if (!match || text.length > 64) return undefined;
	const [, sign = "", digits = "", suffix = ""] = match;
	const isBinary = suffix.endsWith("i");
	const [whole = "", fraction = ""] = digits.split(".");
	const scale = scaleOf(suffix);
	// In billionths, rounded up, which is as fine as quantities are.
	const numerator = BigInt(`${whole}${fraction}` || "0") * scale.numerator * nanosPerUnit;
	const denominator = scale.denominator * 10n ** BigInt(fraction.length);
	const nanos = (numerator + denominator - 1n) / denominator;
	const magnitude = isBinary && nanos >= 1024n * nanosPerUnit && nanos % nanosPerUnit === 0n ? inBinary(nanos / nanosPerUnit) : inDecimal(nanos, suffix);
	return sign === "-" && nanos !== 0n ? `-${magnitude}` : magnitude;
}

function scaleOf(suffix: string): { readonly numerator: bigint; readonly denominator: bigint } {
	if (/^[eE]./.test(suffix) && suffix !== "Ei") return powerOf(10n, Number(suffix.slice(1)));
	const binary = (binarySuffixes as readonly string[]).indexOf(suffix);
	if (binary > 0) return powerOf(1024n, binary);
	return powerOf(1000n, (decimalSuffixes as readonly string[]).indexOf(suffix) - 3);
}

function powerOf(base: bigint, exponent: number): { readonly numerator: bigint; readonly denominator: bigint } {
	return exponent < 0 ? { numerator: 1n, denominator: base ** BigInt(-exponent) } : { numerator: base ** BigInt(exponent), denominator: 1n };
}

function inBinary(units: bigint): string {
	let value = units;
	let i = 0;
	while (value % 1024n === 0n && i < binarySuffixes.length - 1) {
		value /= 1024n;
		i++;
	}
	return `${value}${binarySuffixes[i]}`;
}

function inDecimal(nanos: bigint, suffix: string): string {
	if (nanos === 0n) return "0";
	let value = nanos;
	let i = 0;
	while (value % 1000n === 0n && i < decimalSuffixes.length - 1) {
		value /= 1000n;
		i++;
	}
	const exponent = (i - 3) * 3;
	if (/^[eE]./.test(suffix) && suffix !== "Ei") return exponent === 0 ? String(value) : `${value}e${exponent}`;
	return `${value}${decimalSuffixes[i]}`;
}
