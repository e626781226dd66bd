// The prebuilt fuzzer of @jazzer.js/fuzzer asks for glibc 2.38 and libstdc++ 13 because of the machine it was compiled
// on, not because of what it does: three references are all that is newer than Debian 12 or Ubuntu 22.04.

/** What the newer name is in an older library: its end, since `strtol` is the end of `__isoc23_strtol`. */
const c23Prefix = "__isoc23_";
/** Marks that iostreams are used; never called, so it need not be found. */
const streamsMark = "_ZSt21ios_base_library_initv";
const newerVersions: ReadonlySet<string> = new Set(["GLIBC_2.38", "GLIBCXX_3.4.32"]);
/** The oldest there are, on x86-64 and arm64. */
const baseVersions: ReadonlySet<string> = new Set(["GLIBC_2.2.5", "GLIBC_2.17"]);

const sectionType = { dynamicSymbols: 11, versionNeeds: 0x6ffffffe, versions: 0x6fffffff } as const;
const symbolBytes = 24;
const weakVersion = 2;
const globalVersion = 1;
const weakBinding = 2;

interface Section {
	readonly type: number;
	readonly offset: number;
	readonly size: number;
	readonly link: number;
}

function readSections(elf: Buffer): readonly Section[] {
	const table = Number(elf.readBigUInt64LE(0x28));
	const size = elf.readUInt16LE(0x3a);
	return Array.from({ length: elf.readUInt16LE(0x3c) }, (_, i) => {
		const at = table + i * size;
		return {
			type: elf.readUInt32LE(at + 4),
			offset: Number(elf.readBigUInt64LE(at + 24)),
			size: Number(elf.readBigUInt64LE(at + 32)),
			link: elf.readUInt32LE(at + 40),
		};
	});
}

function textAt(elf: Buffer, strings: Section, offset: number): string {
	const start = strings.offset + offset;
	return elf.latin1Slice(start, elf.indexOf(0, start));
}

/** Lets the loader go on where a newer version is missing; gives the number of the base version, `globalVersion` without one. */
function loosenVersions(elf: Buffer, needs: Section, strings: Section): number {
	let base: number = globalVersion;
	for (let need = needs.offset, next = -1; next !== 0; need += next) {
		next = elf.readUInt32LE(need + 12);
		for (let aux = need + elf.readUInt32LE(need + 8), step = -1; step !== 0; aux += step) {
			step = elf.readUInt32LE(aux + 12);
			const name = textAt(elf, strings, elf.readUInt32LE(aux + 8));
			if (newerVersions.has(name)) elf.writeUInt16LE(elf.readUInt16LE(aux + 4) | weakVersion, aux + 4);
			// A library's own base: libm has the same version names under other numbers.
			if (baseVersions.has(name) && textAt(elf, strings, elf.readUInt32LE(need + 4)).startsWith("libc.")) base = elf.readUInt16LE(aux + 6);
		}
	}
	return base;
}

/** The shared object for older libraries, in place; throws when it is no 64-bit little-endian ELF file with versions. */
export function forOlderGlibc(elf: Buffer): void {
	if (elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1) throw new Error("not a 64-bit little-endian ELF file");
	const sections = readSections(elf);
	const find = (type: number) => sections.find((section) => section.type === type);
	const [symbols, needs, versions] = [find(sectionType.dynamicSymbols), find(sectionType.versionNeeds), find(sectionType.versions)];
	const strings = symbols && sections[symbols.link];
	if (!symbols || !needs || !versions || !strings) throw new Error("no versioned symbols in it");
	const base = loosenVersions(elf, needs, strings);
	for (let i = 0; i < symbols.size / symbolBytes; i++) {
		const at = symbols.offset + i * symbolBytes;
		const nameAt = elf.readUInt32LE(at);
		const name = textAt(elf, strings, nameAt);
		if (name.startsWith(c23Prefix)) {
			elf.writeUInt32LE(nameAt + c23Prefix.length, at);
			elf.writeUInt16LE(base, versions.offset + 2 * i);
		} else if (name === streamsMark) {
			elf[at + 4] = (weakBinding << 4) | ((elf[at + 4] as number) & 15);
			elf.writeUInt16LE(globalVersion, versions.offset + 2 * i);
		}
	}
}
