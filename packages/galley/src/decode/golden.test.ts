import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { test } from "node:test";
import { formatDiagnostic, hasErrors } from "@weft/api";
import { decodeMeshConfig, decodeYaml } from "./yaml-decoder.ts";

const golden = resolve(import.meta.dirname, "../../../../../shared/golden/istiod");
const skip = existsSync(golden) ? false : "the corpus of istiod's answers is not there (shared/golden/istiod beside the checkout)";
/** Features whose kinds are all implemented. */
const features = [
	"authorizationpolicy",
	"destinationrule",
	"envoyfilter",
	"gateway",
	"kubernetes",
	"meshconfig",
	"peerauthentication",
	"proxyconfig",
	"requestauthentication",
	"serviceentry",
	"sidecar",
	"telemetry",
	"virtualservice",
	"wasmplugin",
	"workloadentry",
];

/** What istiod takes and a later release is to: refused by name until then. */
const later = /^(AUTO_PASSTHROUGH|DYNAMIC_DNS|ALLOW_ANY_DYNAMIC_DNS) is not implemented by this version of Weft/;

function configs(): readonly string[] {
	const folders = readdirSync(golden).filter((name) => features.some((feature) => name === feature || name.startsWith(`${feature}-`)));
	const cases = folders.flatMap((folder) => readdirSync(join(golden, folder)).map((name) => join(golden, folder, name, "config.yaml")));
	return [join(golden, "base.yaml"), ...cases.filter((file) => existsSync(file))];
}

test("what istiod takes is taken, and what it rejects is rejected", { skip }, () => {
	const files = configs();
	assert.ok(files.length > 150, `only ${files.length} files`);
	for (const file of files) {
		const text = readFileSync(file, "utf8");
		const decoded = decodeYaml(text, relative(golden, file));
		const isRejected = /\breject/i.test(text.split("\n")[0] ?? "");
		const errors = decoded.diagnostics.filter(({ severity, message }) => severity === "error" && !later.test(message)).map(formatDiagnostic);
		assert.equal(errors.length > 0, isRejected, `${file}\n${errors.join("\n")}`);
	}
});

test("every mesh config that istiod takes is taken, with all its fields known", { skip }, () => {
	const files = [join(golden, "mesh.yaml"), ...configs().map((file) => join(file, "../mesh.yaml"))].filter((file) => existsSync(file));
	assert.ok(files.length > 5, `only ${files.length} files`);
	for (const file of files) {
		const { diagnostics } = decodeMeshConfig(readFileSync(file, "utf8"), file);
		assert.equal(hasErrors(diagnostics), false, diagnostics.map(formatDiagnostic).join("\n"));
		assert.deepEqual(
			diagnostics.filter(({ message }) => message.startsWith("unknown field")),
			[],
		);
	}
});
