// A second reporter beside the runner's own: names every skipped test together with what enables it.
export default async function* skippedReporter(source) {
	const skipped = new Set();
	for await (const { type, data } of source) {
		if (type === "test:pass" && typeof data.skip === "string") skipped.add(`${data.name}: ${data.skip}`);
	}
	if (skipped.size > 0) yield `\nSkipped here, and what enables it:\n${[...skipped].map((line) => `  - ${line}\n`).join("")}\n`;
}
