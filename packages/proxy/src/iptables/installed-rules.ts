import { isBuiltInChain, type Rule, type Table } from "./rule-set.ts";

/** What iptables-save prints, as far as it is ours: chains named ISTIO_* and rules that are in them or jump to them. */
export interface InstalledTable {
	readonly chains: readonly string[];
	/** Lines of iptables-save, `-A CHAIN …`. */
	readonly rules: readonly string[];
}
export type InstalledRules = ReadonlyMap<Table, InstalledTable>;

export function parseInstalledRules(saved: string): InstalledRules {
	const tables = new Map<Table, { chains: string[]; rules: string[] }>();
	let current: { chains: string[]; rules: string[] } = { chains: [], rules: [] };
	for (const line of saved.split("\n")) {
		if (line.startsWith("*")) {
			current = { chains: [], rules: [] };
			tables.set(line.slice(1).trim() as Table, current);
		} else if (line.startsWith(":ISTIO_")) current.chains.push(line.slice(1).split(" ", 1)[0] ?? "");
		else if (/^-A ISTIO_|^-A .* -j ISTIO_/.test(line)) current.rules.push(line);
	}
	return new Map([...tables].filter(([, { chains, rules }]) => chains.length > 0 || rules.length > 0));
}

/**
 * Input for iptables-restore that removes what is installed, one transaction a table.
 * `own` are rules in built-in chains that no name tells apart; only those in `present` are removed.
 */
export function renderCleanup(installed: InstalledRules, present: readonly Rule[]): string {
	const tables = [...new Set([...installed.keys(), ...present.map((rule) => rule.table)])].sort();
	return tables
		.map((table) => {
			const { chains, rules } = installed.get(table) ?? { chains: [], rules: [] };
			const jumps = rules.filter((line) => isBuiltInChain(line.split(" ", 2)[1] ?? "")).map((line) => `-D${line.slice(2)}`);
			const unnamed = present.filter((rule) => rule.table === table).map((rule) => `-D ${ruleBody(rule)}`);
			return [`* ${table}`, ...jumps, ...unnamed, ...chains.map((c) => `-F ${c}`), ...chains.map((c) => `-X ${c}`), "COMMIT", ""].join("\n");
		})
		.join("");
}

/** The rule without its operation and position: what -C and -D take. */
export const ruleBody = ({ chain, words }: Rule): string => [chain, ...words.slice(words[0] === "-I" ? 3 : 2)].join(" ");

/** Rules of built-in chains that do not lead to a chain of ours, such as `-i tap0 -j RETURN`. */
export function unnamedRules(rules: readonly Rule[]): readonly Rule[] {
	return rules.filter(({ chain, words }) => isBuiltInChain(chain) && !(words.at(-1) ?? "").startsWith("ISTIO_"));
}
