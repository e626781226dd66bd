import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { suite, test } from "node:test";
import { renderDryRun } from "./command.ts";
import { buildCaptureRules } from "./build-rules.ts";
import { decodeCaptureConfig } from "./decode-config.ts";
import { parseIptablesFlags } from "./flags.ts";

const corpus = path.resolve(import.meta.dirname, "../../../../../shared/golden/iptables");
const present = existsSync(corpus);

suite("the rules equal what istio-iptables applies", { skip: present ? false : "the golden corpus is not beside the repository" }, () => {
	for (const name of present ? readdirSync(corpus).filter((entry) => existsSync(path.join(corpus, entry, "args.json"))) : []) {
		test(name, () => {
			const { args } = JSON.parse(readFileSync(path.join(corpus, name, "args.json"), "utf8")) as { readonly args: readonly string[] };
			const parsed = parseIptablesFlags(args, {});
			assert.equal(parsed.kind, "values");
			if (parsed.kind !== "values") return;
			const machine = { nameservers: () => [], isIPv6Pod: false, uidOf: () => undefined };
			const { config, errors } = decodeCaptureConfig(parsed.values, {}, machine);
			assert.deepEqual(errors, []);
			const [, v4 = "", v6 = ""] = renderDryRun(buildCaptureRules(config), false).split(/^ip6?tables-restore --noflush$/m);
			assert.equal(v4.trim(), expected(name, "iptables.rules"));
			assert.equal(v6.trim(), expected(name, "ip6tables.rules"));
		});
	}
});

function expected(name: string, file: string): string {
	const where = path.join(corpus, name, file);
	return existsSync(where) ? readFileSync(where, "utf8").trim() : "";
}
