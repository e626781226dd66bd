import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export type Json = Readonly<Record<string, unknown>>;
export const kinds = ["cds", "eds", "lds", "rds", "ecds"] as const;
export type Kind = (typeof kinds)[number];
/** By kind, then by name. */
export type Resources = Readonly<Record<Kind, ReadonlyMap<string, Json>>>;

export interface CorpusCase {
	readonly name: string;
	readonly resources: Resources;
}

/** What a real istiod answers; kept beside the repository, not in it. */
export const corpusFolder = process.env["WEFT_GOLDEN_DIR"] ?? join(import.meta.dirname, "../../../shared/golden/istiod");
export const skipReason = existsSync(corpusFolder) ? false : `no golden files at ${corpusFolder}`;

/** Every base, and every case as its base with the case's changes. */
export function readCorpus(): readonly CorpusCase[] {
	const bases = new Map(foldersIn(join(corpusFolder, "base")).map((name) => [name, readWhole(join(corpusFolder, "base", name))]));
	const features = foldersIn(corpusFolder).filter((name) => name !== "base");
	const folders = features.flatMap((feature) =>
		existsSync(join(corpusFolder, feature, "proxy.json")) ? [feature] : foldersIn(join(corpusFolder, feature)).map((name) => join(feature, name)),
	);
	const cases = folders.flatMap((name): readonly CorpusCase[] => {
		const folder = join(corpusFolder, name);
		if (!existsSync(join(folder, "proxy.json"))) return [];
		const { base } = JSON.parse(readFileSync(join(folder, "proxy.json"), "utf8")) as { readonly base: string };
		const whole = bases.get(base);
		if (whole === undefined) throw new Error(`${name} stands on ${base}, which is not there`);
		return [{ name, resources: applyChanges(whole, folder) }];
	});
	return [...[...bases].map(([name, resources]) => ({ name: `base/${name}`, resources })), ...cases];
}

const foldersIn = (folder: string): readonly string[] =>
	readdirSync(folder, { withFileTypes: true })
		.filter((entry) => entry.isDirectory())
		.map(({ name }) => name)
		.sort();

function byKind(read: (kind: Kind) => ReadonlyMap<string, Json>): Resources {
	return { cds: read("cds"), eds: read("eds"), lds: read("lds"), rds: read("rds"), ecds: read("ecds") };
}

function readJson(file: string): unknown {
	return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

const named = (resources: readonly Json[]) => new Map(resources.map((resource) => [String(resource["name"] ?? resource["clusterName"]), resource]));

function readWhole(folder: string): Resources {
	return byKind((kind) => named((readJson(join(folder, `${kind}.json`)) as readonly Json[] | undefined) ?? []));
}

function applyChanges(base: Resources, folder: string): Resources {
	return byKind((kind) => {
		const change = readJson(join(folder, `${kind}.json`)) as { readonly changed?: readonly Json[]; readonly removed?: readonly string[] } | undefined;
		const all = new Map(base[kind]);
		for (const name of change?.removed ?? []) all.delete(name);
		for (const [name, resource] of named(change?.changed ?? [])) all.set(name, resource);
		return all;
	});
}
