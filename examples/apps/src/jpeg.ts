// A baseline grey JPEG (ITU-T T.81) of flat 8 × 8 blocks: only DC coefficients, which is enough for a real picture of any size.

export type JpegInfo = { readonly width: number; readonly height: number; readonly components: number; readonly comments: number };

const segmentBytesMax = 65_533;
const dcCategories = 12;

/** A picture of `columns` × `rows` blocks with a gradient and a bright square in it; the same bytes for the same size. */
export function buildJpeg(columns: number, rows: number): Buffer {
	const bits = createBitWriter();
	let previous = 0;
	for (let row = 0; row < rows; row++) {
		for (let column = 0; column < columns; column++) {
			const inside = Math.abs(column - columns / 2) < columns / 6 && Math.abs(row - rows / 2) < rows / 6;
			const level = inside ? 100 : Math.round(((column + row) * 120) / (columns + rows)) - 90;
			writeDc(bits, level - previous);
			previous = level;
		}
	}
	return Buffer.concat([marker(0xd8), quantization(), frameHeader(columns * 8, rows * 8), huffmanTables(), scanHeader(), bits.finish(), marker(0xd9)]);
}

/** The same picture grown to at least `bytes` by COM segments after SOI; decoders skip them (T.81 §B.2.4.5). */
export function padJpeg(jpeg: Uint8Array, bytes: number): Buffer {
	const parts: Uint8Array[] = [jpeg.subarray(0, 2)];
	for (let missing = bytes - jpeg.length; missing > 0; missing -= segmentBytesMax + 4) {
		parts.push(comment(Buffer.alloc(Math.max(1, Math.min(segmentBytesMax, missing - 4)), "weft ")));
	}
	return Buffer.concat([...parts, jpeg.subarray(2)]);
}

/** The same picture with a text in a COM segment after SOI. */
export function annotateJpeg(jpeg: Uint8Array, text: string): Buffer {
	return Buffer.concat([jpeg.subarray(0, 2), comment(Buffer.from(text).subarray(0, segmentBytesMax)), jpeg.subarray(2)]);
}

/** Reads the segments up to the scan; undefined for bytes that are not a whole JPEG. */
export function decodeJpegInfo(bytes: Uint8Array): JpegInfo | undefined {
	if (bytes[0] !== 0xff || bytes[1] !== 0xd8 || bytes.at(-2) !== 0xff || bytes.at(-1) !== 0xd9) return undefined;
	let frame: Omit<JpegInfo, "comments"> | undefined;
	let comments = 0;
	for (let at = 2; at + 4 <= bytes.length; ) {
		const code = bytes[at + 1] ?? 0;
		if (bytes[at] !== 0xff) return undefined;
		if (code === 0xda) return frame === undefined ? undefined : { ...frame, comments };
		const length = wordAt(bytes, at + 2);
		if (length < 2 || at + 2 + length > bytes.length) return undefined;
		if (code === 0xfe) comments++;
		const isFrame = code >= 0xc0 && code <= 0xcf && code !== 0xc4 && code !== 0xc8 && code !== 0xcc;
		if (isFrame && length >= 8) frame = { height: wordAt(bytes, at + 5), width: wordAt(bytes, at + 7), components: bytes[at + 9] ?? 0 };
		at += 2 + length;
	}
	return undefined;
}

type BitWriter = { readonly write: (value: number, count: number) => void; readonly finish: () => Buffer };

function createBitWriter(): BitWriter {
	const out: number[] = [];
	let held = 0;
	let count = 0;
	const write = (value: number, width: number): void => {
		for (let bit = width - 1; bit >= 0; bit--) {
			held = (held << 1) | ((value >> bit) & 1);
			if (++count < 8) continue;
			out.push(held);
			// T.81 §B.1.1.5: a zero byte follows 0xFF inside the scan.
			if (held === 0xff) out.push(0);
			held = 0;
			count = 0;
		}
	};
	return {
		write,
		finish: () => {
			// §F.1.2.3: the last byte is filled with ones.
			write(0x7f, (8 - count) % 8);
			return Buffer.from(out);
		},
	};
}

/** One block: the DC difference in its category's code (all four bits long here), then end of block (one zero bit). */
function writeDc(bits: BitWriter, difference: number): void {
	const category = difference === 0 ? 0 : 32 - Math.clz32(Math.abs(difference));
	bits.write(category, 4);
	bits.write(difference < 0 ? difference + (1 << category) - 1 : difference, category);
	bits.write(0, 1);
}

function quantization(): Buffer {
	// Step 8 for DC makes a level step one grey step: a flat block's DC is eight times its level.
	return segment(0xdb, Buffer.concat([Buffer.from([0]), Buffer.alloc(64, 8)]));
}

function frameHeader(width: number, height: number): Buffer {
	return segment(0xc0, Buffer.from([8, height >> 8, height & 0xff, width >> 8, width & 0xff, 1, 1, 0x11, 0]));
}

function huffmanTables(): Buffer {
	const dcLengths = [0, 0, 0, dcCategories, ...Array.from({ length: 12 }, () => 0)];
	const dcValues = Array.from({ length: dcCategories }, (_, category) => category);
	const acLengths = [1, ...Array.from({ length: 15 }, () => 0)];
	return Buffer.concat([segment(0xc4, Buffer.from([0x00, ...dcLengths, ...dcValues])), segment(0xc4, Buffer.from([0x10, ...acLengths, 0]))]);
}

function scanHeader(): Buffer {
	return segment(0xda, Buffer.from([1, 1, 0x00, 0, 63, 0]));
}

function comment(text: Uint8Array): Buffer {
	return segment(0xfe, text);
}

function segment(code: number, body: Uint8Array): Buffer {
	const length = body.length + 2;
	return Buffer.concat([Buffer.from([0xff, code, length >> 8, length & 0xff]), body]);
}

function marker(code: number): Buffer {
	return Buffer.from([0xff, code]);
}

function wordAt(bytes: Uint8Array, at: number): number {
	return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
