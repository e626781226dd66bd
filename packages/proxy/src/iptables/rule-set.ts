export type Table = "filter" | "mangle" | "nat" | "raw";

/** One rule of one address family; `words` start with the operation: `-A ISTIO_OUTPUT …` or `-I PREROUTING 1 …`. */
export interface Rule {
	readonly table: Table;
	readonly chain: string;
	readonly words: readonly string[];
}

export interface RuleSet {
	readonly v4: readonly Rule[];
	/** Empty where IPv6 is off. */
	readonly v6: readonly Rule[];
}

/** A word of a rule that differs between the families. */
export interface VersionedWord {
	readonly v4: string;
	readonly v6: string;
}
export type Words = readonly (string | VersionedWord)[];

const builtInChains: ReadonlySet<string> = new Set(["INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"]);
const targets: ReadonlySet<string> = new Set(["ACCEPT", "RETURN", "DROP", "REDIRECT", "MARK", "CT", "TPROXY", "CONNMARK"]);

export const isBuiltInChain = (chain: string): boolean => builtInChains.has(chain);

export type Family = "v4" | "v6" | "both";

/** Collects rules in the order in which they are applied. */
export interface RuleBuilder {
	append(table: Table, chain: string, words: Words, family?: Family): void;
	insert(table: Table, chain: string, position: number, words: Words, family?: Family): void;
	build(): RuleSet;
}

export function createRuleBuilder({ ipv6 }: { readonly ipv6: boolean }): RuleBuilder {
	const v4: Rule[] = [];
	const v6: Rule[] = [];
	const add = (table: Table, chain: string, head: readonly string[], words: Words, family: Family): void => {
		const of = (version: "v4" | "v6"): Rule => ({ table, chain, words: [...head, ...words.map((word) => (typeof word === "string" ? word : word[version]))] });
		if (family !== "v6") v4.push(of("v4"));
		if (family !== "v4" && ipv6) v6.push(of("v6"));
	};
	return {
		append: (table, chain, words, family = "both") => add(table, chain, ["-A", chain], words, family),
		insert: (table, chain, position, words, family = "both") => add(table, chain, ["-I", chain, String(position)], words, family),
		build: () => ({ v4, v6 }),
	};
}

/** The chains that the rules need, by table: those with rules in order of appearance, then those only jumped to. */
export function ownChains(rules: readonly Rule[]): ReadonlyMap<Table, readonly string[]> {
	const chains = new Map<Table, string[]>();
	const need = (table: Table, chain: string): void => {
		const known = chains.get(table) ?? [];
		if (!isBuiltInChain(chain) && !known.includes(chain)) chains.set(table, [...known, chain]);
	};
	for (const { table, chain } of rules) need(table, chain);
	for (const { table, words } of rules) {
		const target = words.at(-1) ?? "";
		if (words.at(-2) === "-j" && !targets.has(target)) need(table, target);
	}
	return chains;
}

/** Input for iptables-restore: each table is one transaction. Empty where there are no rules. */
export function renderRestore(rules: readonly Rule[]): string {
	const chains = ownChains(rules);
	const tables = [...new Set(rules.map((rule) => rule.table))].sort();
	return tables
		.map((table) => {
			const created = (chains.get(table) ?? []).map((chain) => `-N ${chain}`);
			const lines = rules.filter((rule) => rule.table === table).map((rule) => rule.words.join(" "));
			return ["* ".concat(table), ...created, ...lines, "COMMIT", ""].join("\n");
		})
		.join("");
}
