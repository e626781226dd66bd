/**
 * The Huffman code of RFC 7541, appendix B. It is canonical, so the lengths of its 257 codes are all there is to it:
 * codes of one length follow each other in the order of their symbols. The last is the end of string.
 */
const lengths = [
	"13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28",
	"6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10",
	"13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6",
	"15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28",
	"20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24",
	"22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23",
	"26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27",
	"20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30",
].flatMap((line) => line.split(" ").map(Number));
const endOfString = 256;

const codeLengths = Uint8Array.from(lengths);
const codes = new Uint32Array(257);

/**
 * 256 entries a node, looked up by the next 8 bits. An entry is `symbol << 8 | bits used` with `leaf` set, or the number
 * of the node for the 8 bits after these; 0 is an end of string, which no string contains.
 */
const leaf = 1 << 20;
const nodeMax = 64;
const nodes = new Int32Array(nodeMax * 256);

function buildTables(): void {
	let code = 0;
	let length = 5;
	let nodeCount = 1;
	const bySize = [...codeLengths.keys()].sort((a, b) => (codeLengths[a] as number) - (codeLengths[b] as number) || a - b);
	for (const symbol of bySize) {
		const own = codeLengths[symbol] as number;
		code <<= own - length;
		length = own;
		codes[symbol] = code;
		let node = 0;
		let rest = length;
		for (; rest > 8; rest -= 8) {
			const at = node * 256 + ((code >>> (rest - 8)) & 255);
			if (nodes[at] === 0) nodes[at] = nodeCount++;
			node = nodes[at] as number;
		}
		const first = node * 256 + ((code << (8 - rest)) & 255);
		if (symbol !== endOfString) nodes.fill(leaf | (symbol << 8) | rest, first, first + (1 << (8 - rest)));
		code++;
	}
}
buildTables();

/** Shortest code: 5 bits. */
export function huffmanDecodedMax(encodedBytes: number): number {
	return Math.floor((encodedBytes * 8) / 5);
}

/**
 * The position behind what was written to `target`, which has room for `huffmanDecodedMax`; -1: not a valid string
 * (RFC 7541 §5.2: padding of more than 7 bits or of other bits than ones, or an end of string).
 */
export function huffmanDecode(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
	let out = at;
	let held = 0;
	let bits = 0;
	let node = 0;
	for (let i = start; i < end; i++) {
		held = ((held << 8) | (source[i] as number)) & 0xffff;
		bits += 8;
		while (bits >= 8) {
			const entry = nodes[node + ((held >>> (bits - 8)) & 255)] as number;
			if (entry >= leaf) {
				target[out++] = (entry >>> 8) & 255;
				bits -= entry & 255;
				node = 0;
			} else if (entry !== 0) {
				node = entry * 256;
				bits -= 8;
			} else return -1;
		}
	}
	while (bits > 0) {
		const entry = nodes[node + ((held << (8 - bits)) & 255)] as number;
		const used = entry & 255;
		if (entry < leaf || used > bits) break;
		target[out++] = (entry >>> 8) & 255;
		bits -= used;
		node = 0;
	}
	const ones = (1 << bits) - 1;
	return node === 0 && (held & ones) === ones ? out : -1;
}

export function huffmanEncodedLength(source: Uint8Array, start: number, end: number): number {
	let bits = 0;
	for (let i = start; i < end; i++) bits += codeLengths[source[i] as number] as number;
	return (bits + 7) >>> 3;
}

/** The position behind what was written. */
export function huffmanEncode(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
	let out = at;
	let held = 0;
	let bits = 0;
	for (let i = start; i < end; i++) {
		const symbol = source[i] as number;
		let rest = codeLengths[symbol] as number;
		const code = codes[symbol] as number;
		// In pieces of at most 16 bits, so that 32 are always enough.
		while (rest > 0) {
			const take = rest > 16 ? rest - 16 : rest;
			held = (held << take) | ((code >>> (rest - take)) & ((1 << take) - 1));
			bits += take;
			rest -= take;
			while (bits >= 8) {
				bits -= 8;
				target[out++] = (held >>> bits) & 255;
			}
			held &= (1 << bits) - 1;
		}
	}
	if (bits > 0) target[out++] = ((held << (8 - bits)) | ((1 << (8 - bits)) - 1)) & 255;
	return out;
}
