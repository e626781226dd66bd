import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { apps } from "./apps.ts";

const examples = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const localFile = readFileSync(join(examples, "weft.local.yaml"), "utf8");
const mapped = [...localFile.matchAll(/^ {2}(\S+):\n {4}command: \[node, (\S+), ([\w-]+)\]$/gm)].map(([, image = "", script = "", app = ""]) => ({
	image,
	script,
	app,
}));

test("every image that the examples run is mapped to an app that exists", () => {
	const images = globSync("*/*.yaml", { cwd: examples }).flatMap((file) => {
		return [...readFileSync(join(examples, file), "utf8").matchAll(/^\s+image: (\S+):[^:\s]+$/gm)].map(([, image = ""]) => ({ file, image }));
	});
	assert.ok(images.length >= 14, `only ${images.length} images found`);
	for (const { file, image } of images) {
		const entry = mapped.find((candidate) => candidate.image === image);
		assert.ok(entry !== undefined, `${file}: ${image} is not in weft.local.yaml`);
		assert.ok(apps.has(entry.app), `${entry.app} is no app`);
		assert.ok(existsSync(join(examples, entry.script)), entry.script);
	}
});

test("the ports of the vision services have no name, so that their protocol is sniffed", () => {
	const text = readFileSync(join(examples, "ai-vision", "ai-vision.yaml"), "utf8");
	const services = text.split("---\n").filter((document) => document.includes("kind: Service\n"));
	assert.equal(services.length, 3);
	for (const service of services) assert.match(service, / {2}ports:\n {4}- port: 5000\n {2}selector:/);
});
