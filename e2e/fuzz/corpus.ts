import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { runFuzzer } from "./run-target.ts";

const filesMax = 60;
const bytesMax = 200 * 1024;

/** The inputs of a target that are kept: our own, what reached new code, and what once broke it. */
export function corpusFolder(name: string): string {
	return join(import.meta.dirname, "corpus", name);
}

export interface KeepInputs {
	readonly cli: string;
	readonly bundle: string;
	readonly corpus: string;
	/** What the fuzzer found to reach new code. */
	readonly found: string;
	readonly work: string;
}

/** Adds to a corpus the fewest of the inputs found that reach all that they do together, up to its limits: of all sizes. */
export async function keepInteresting({ cli, bundle, corpus, found, work }: KeepInputs): Promise<string> {
	const merged = join(work, "merged");
	rmSync(merged, { recursive: true, force: true });
	mkdirSync(merged, { recursive: true });
	const { status, output } = await runFuzzer(cli, bundle, join(work, "merge.log"), ["-merge=1", merged, corpus, found]);
	if (status !== 0) throw new Error(`the inputs were not merged:\n${output.slice(-2000)}`);
	const sizes = (folder: string) => readdirSync(folder).map((file) => ({ file, bytes: statSync(join(folder, file)).size }));
	const kept = sizes(corpus);
	const known = new Set(kept.map(({ file }) => file));
	let files = kept.length;
	let bytes = kept.reduce((sum, { bytes: one }) => sum + one, 0);
	let added = 0;
	const candidates = sizes(merged).filter(({ file }) => !known.has(file));
	for (const candidate of spread(
		candidates.sort((a, b) => a.bytes - b.bytes),
		filesMax - files,
	)) {
		if (bytes + candidate.bytes > bytesMax) break;
		copyFileSync(join(merged, candidate.file), join(corpus, candidate.file));
		files++;
		added++;
		bytes += candidate.bytes;
	}
	return `${added} inputs kept, ${files} files of ${bytes} bytes`;
}

/** At most so many of them, evenly. */
function spread<T>(all: readonly T[], countMax: number): readonly T[] {
	const step = Math.max(all.length / Math.max(countMax, 0), 1);
	return Array.from({ length: Math.floor(all.length / step) }, (_, i) => all[Math.floor(i * step)] as T);
}
