// `npm run soak -- verdicts [--minutes 10] [--seed 1000]`: generated policies and requests, judged by a real Envoy, by weft-proxy
// and by the reference evaluator. Ends with status 1 at the first batch with a disagreement, and prints what shows it again.
import { parseArgs } from "node:util";
import { skipReason } from "../differential/pair.ts";
import { judgeBatch } from "../verdicts/judge.ts";

const casesOfBatch = 40;

export async function soakVerdicts(args: readonly string[]): Promise<number> {
	const { values } = parseArgs({ args: [...args], options: { minutes: { type: "string", default: "10" }, seed: { type: "string", default: "1000" } } });
	if (skipReason) {
		console.error(skipReason);
		return 2;
	}
	const end = performance.now() + Number(values.minutes) * 60_000;
	let total = 0;
	for (let seed = Number(values.seed); performance.now() < end; seed += casesOfBatch) {
		const { verdicts, allowed, disagreements } = await judgeBatch(seed, casesOfBatch);
		total += verdicts;
		console.log(`seeds ${seed}–${seed + casesOfBatch - 1}: ${verdicts} verdicts, ${allowed} allowed, ${disagreements.length} disagreements; ${total} so far`);
		if (disagreements.length > 0) {
			console.error(disagreements.slice(0, 5).join("\n\n"));
			return 1;
		}
	}
	return 0;
}
