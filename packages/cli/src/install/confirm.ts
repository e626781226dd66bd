import { createInterface } from "node:readline/promises";
import { CommandError } from "../output/errors.ts";

/** Asks y/N. Where nobody can answer it says how to go on without the question. */
export async function confirm(question: string): Promise<void> {
	if (!process.stdin.isTTY) throw new CommandError(`${question} Nobody is there to ask: say yes with -y`);
	const lines = createInterface({ input: process.stdin, output: process.stderr });
	try {
		const answer = await lines.question(`${question} Proceed? (y/N) `);
		if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError("Cancelled.");
	} finally {
		lines.close();
	}
}
