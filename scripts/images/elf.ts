/** What the dynamic loader needs to know of a program or library. */
export interface ElfNeeds {
	readonly libraries: readonly string[];
	/** The loader's own path, where it is a program. */
	readonly interpreter: string | undefined;
	/** Folders from RPATH and RUNPATH; `$ORIGIN` is not replaced. */
	readonly searchPath: readonly string[];
}

const programHeader = { load: 1, dynamic: 2, interpreter: 3 } as const;
const dynamicTag = { needed: 1, stringTable: 5, rpath: 15, runpath: 29 } as const;

interface Segment {
	readonly type: number;
	readonly offset: number;
	readonly address: number;
	readonly size: number;
}

/**
 * Reads the dynamic section of a 64-bit little-endian ELF file; undefined when it is not one. Static programs need nothing.
 * Source: System V ABI, "Program Header" and "Dynamic Section" (elf(5)).
 */
export function readElfNeeds(file: Buffer): ElfNeeds | undefined {
	if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) return undefined;
	const segments = readSegments(file);
	const dynamic = segments.find(({ type }) => type === programHeader.dynamic);
	const tags = dynamic ? readTags(file, dynamic) : [];
	const tableAddress = tags.find(([tag]) => tag === dynamicTag.stringTable)?.[1];
	const table = tableAddress === undefined ? 0 : fileOffset(segments, tableAddress);
	const strings = (...wanted: readonly number[]) => tags.filter(([tag]) => wanted.includes(tag)).map(([, value]) => text(file, table + value));
	const interpreter = segments.find(({ type }) => type === programHeader.interpreter);
	return {
		libraries: strings(dynamicTag.needed),
		interpreter: interpreter && text(file, interpreter.offset),
		searchPath: strings(dynamicTag.rpath, dynamicTag.runpath).flatMap((path) => path.split(":")),
	};
}

function readSegments(file: Buffer): Segment[] {
	const start = Number(file.readBigUInt64LE(32));
	const size = file.readUInt16LE(54);
	return Array.from({ length: file.readUInt16LE(56) }, (_, i) => {
		const at = start + i * size;
		const field = (offset: number) => Number(file.readBigUInt64LE(at + offset));
		return { type: file.readUInt32LE(at), offset: field(8), address: field(16), size: field(32) };
	});
}

function readTags(file: Buffer, dynamic: Segment): (readonly [number, number])[] {
	return Array.from({ length: dynamic.size / 16 }, (_, i) => {
		const at = dynamic.offset + i * 16;
		return [Number(file.readBigInt64LE(at)), Number(file.readBigUInt64LE(at + 8))] as const;
	});
}

function fileOffset(segments: readonly Segment[], address: number): number {
	const segment = segments.find((s) => s.type === programHeader.load && address >= s.address && address < s.address + s.size);
	if (!segment) throw new RangeError("the dynamic section's string table is outside of every segment");
	return address - segment.address + segment.offset;
}

function text(file: Buffer, at: number): string {
	return file.toString("utf8", at, file.indexOf(0, at));
}
