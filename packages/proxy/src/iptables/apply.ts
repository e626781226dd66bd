import { type IptablesPrograms, type RunCommand } from "./commands.ts";
import { type InstalledRules, parseInstalledRules, renderCleanup, ruleBody, unnamedRules } from "./installed-rules.ts";
import { ownChains, renderRestore, type Rule } from "./rule-set.ts";

/** Ends the command with exit code 1; the message is for the user. */
export class IptablesError extends Error {}

export interface ApplyOptions {
	readonly cleanupOnly: boolean;
	readonly reconcile: boolean;
	readonly forceApply: boolean;
}

export type ApplyOutcome = "applied" | "unchanged" | "replaced" | "removed" | "nothing to remove";

/**
 * Brings one family's rules to `rules`. Each table is one transaction of iptables-restore, so no packet sees half of it, and
 * running twice changes nothing. Throws IptablesError when a program fails or rules of another configuration are in the way.
 */
export function applyRules(rules: readonly Rule[], programs: IptablesPrograms, options: ApplyOptions, run: RunCommand): ApplyOutcome {
	const installed = readInstalled(programs, run);
	const residue = installed.size > 0;
	if (options.cleanupOnly) {
		const present = presentRules(unnamedRules(rules), programs, run);
		if (!residue && present.length === 0) return "nothing to remove";
		restore(renderCleanup(installed, present), programs, run);
		return "removed";
	}
	if (rules.length === 0) return "unchanged";
	if (!residue) {
		restore(renderRestore(rules), programs, run);
		return "applied";
	}
	const differs = !isInstalled(rules, installed, programs, run);
	if (!differs && !options.forceApply) return "unchanged";
	if (differs && !options.reconcile && !options.forceApply) {
		throw new IptablesError(
			`${programs.rules}: rules of another configuration are in place (chains ${chainNames(installed)}); ` +
				"run again with --reconcile to replace them, or with --cleanup-only to remove them",
		);
	}
	// Removal and new rules in one input: a table never stands between the two.
	restore(mergeTransactions(renderCleanup(installed, presentRules(unnamedRules(rules), programs, run)), renderRestore(rules)), programs, run);
	return "replaced";
}

function readInstalled(programs: IptablesPrograms, run: RunCommand): InstalledRules {
	const { status, stdout, stderr } = run(programs.save, []);
	if (status !== 0) throw new IptablesError(`${programs.save} failed with status ${status}: ${stderr.trim()}`);
	return parseInstalledRules(stdout);
}

function restore(input: string, programs: IptablesPrograms, run: RunCommand): void {
	const { status, stderr } = run(programs.restore, ["--noflush", "--wait", "20"], input);
	if (status !== 0) throw new IptablesError(`${programs.restore} failed with status ${status}: ${stderr.trim()}\nits input was:\n${input}`);
}

/** The same chains with as many rules, and iptables finds each rule: it alone knows when two spellings mean the same. */
function isInstalled(rules: readonly Rule[], installed: InstalledRules, programs: IptablesPrograms, run: RunCommand): boolean {
	const wanted = ownChains(rules);
	if (installed.size !== [...wanted].filter(([, chains]) => chains.length > 0).length) return false;
	for (const [table, { chains, rules: lines }] of installed) {
		const expected = wanted.get(table) ?? [];
		if (chains.length !== expected.length || !expected.every((chain) => chains.includes(chain))) return false;
		const named = rules.filter((rule) => rule.table === table && !unnamedRules([rule]).length);
		if (lines.length !== named.length) return false;
	}
	return presentRules(rules, programs, run).length === rules.length;
}

function presentRules(rules: readonly Rule[], programs: IptablesPrograms, run: RunCommand): readonly Rule[] {
	return rules.filter((rule) => run(programs.rules, ["--wait", "20", "-t", rule.table, "-C", ...ruleBody(rule).split(" ")]).status === 0);
}

const chainNames = (installed: InstalledRules): string => [...new Set([...installed.values()].flatMap(({ chains }) => chains))].join(", ");

/** Both inputs as one: the first's lines of a table, then the second's, before one COMMIT. */
function mergeTransactions(first: string, second: string): string {
	const bodies = new Map<string, string[]>();
	for (const input of [first, second]) {
		let body: string[] = [];
		for (const line of input.split("\n")) {
			if (line.startsWith("*")) {
				body = bodies.get(line) ?? [];
				bodies.set(line, body);
			} else if (line !== "" && line !== "COMMIT") body.push(line);
		}
	}
	return [...bodies].map(([table, lines]) => [table, ...lines, "COMMIT", ""].join("\n")).join("");
}
