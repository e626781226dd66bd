// A second reporter beside the runner's own: names every skipped test together with what enables it, and writes the
// files in which something failed into the file WEFT_FAILED_FILES, one a line.
import { writeFileSync } from "node:fs";

export default async function* notesReporter(source) {
	const skipped = new Set();
	const failedFiles = new Set();
	for await (const { type, data } of source) {
		if (type === "test:pass" && typeof data.skip === "string") skipped.add(`${data.name}: ${data.skip}`);
		// entryFile: the test may be written in a module that the file imports.
		const file = data.entryFile ?? data.file;
		if (type === "test:fail" && file !== undefined) failedFiles.add(file);
	}
	writeFileSync(process.env.WEFT_FAILED_FILES, [...failedFiles].map((file) => `${file}\n`).join(""));
	if (skipped.size > 0) yield `\nSkipped here, and what enables it:\n${[...skipped].map((line) => `  - ${line}\n`).join("")}\n`;
}
