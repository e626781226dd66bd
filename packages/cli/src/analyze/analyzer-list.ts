import { kindInfo, kindNames, objectKindOf } from "@weft/api";
import { type Analyzer, analyzers } from "@weft/galley";

interface Listed {
	readonly name: string;
	readonly description: string;
}

/** What is found out about each object for itself, as it is read. */
const objectAnalyzers: readonly Listed[] = [
	{ name: "deprecation.DeprecationAnalyzer", description: "fields that are written in another way today" },
	{ name: "destinationrule.CaCertificateAnalyzer", description: "DestinationRules that begin TLS say what servers are verified by" },
	...kindNames
		.filter((kind) => kindInfo(kind).istio)
		.map((kind) => ({ name: `schema.ValidationAnalyzer.${objectKindOf(kind)}`, description: `objects of the kind ${objectKindOf(kind)} are valid` })),
];

/** What is looked for, by name. */
export function renderAnalyzers(): string {
	const all: readonly Listed[] = [...analyzers, ...objectAnalyzers];
	const sorted = all.toSorted((a, b) => (a.name < b.name ? -1 : 1));
	return sorted.map(({ name, description }) => `* ${name}:\n    ${description}\n`).join("");
}

/** What was looked for in a run, and what was not. */
export function renderRun(hasCluster: boolean): string {
	const isExecuted = ({ needsCluster }: Analyzer) => hasCluster || !needsCluster;
	const skipped = analyzers.filter((analyzer) => !isExecuted(analyzer));
	const list = (title: string, all: readonly Listed[]) => (all.length === 0 ? [] : [title, ...all.map(({ name }) => `\t${name}`)]);
	return [...list("Skipped analyzers:", skipped), ...list("Executed analyzers:", [...analyzers.filter(isExecuted), ...objectAnalyzers]), ""].join("\n");
}
