import { type VerdictCase, verdictCase } from "./cases.ts";
import { isAllowed, judgedPath } from "./evaluate.ts";
import { startVerdictPair, type Verdict, verdictOnConnection, verdictOnRequest, type VerdictPair } from "./proxies.ts";

export interface JudgedBatch {
	readonly verdicts: number;
	readonly allowed: number;
	/** What the three ways did not agree on, with all that is needed to see it again. */
	readonly disagreements: readonly string[];
}

const casesAtOnce = 4;

/** Every request of the cases from these seeds on, judged by Envoy, by weft-proxy and by the reference. */
export async function judgeBatch(firstSeed: number, count: number): Promise<JudgedBatch> {
	const cases = Array.from({ length: count }, (_, i) => verdictCase(firstSeed + i));
	const pair = await startVerdictPair(cases);
	try {
		const waiting = [...cases];
		const results: JudgedBatch[] = [];
		const work = async () => {
			for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) results.push(await judgeCase(pair, next));
		};
		await Promise.all(Array.from({ length: casesAtOnce }, work));
		return {
			verdicts: sum(results.map(({ verdicts }) => verdicts)),
			allowed: sum(results.map(({ allowed }) => allowed)),
			disagreements: results.flatMap(({ disagreements }) => disagreements),
		};
	} finally {
		await pair.stop();
	}
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

async function judgeCase({ proxies }: VerdictPair, each: VerdictCase): Promise<JudgedBatch> {
	const disagreements: string[] = [];
	const { seed, policies, normalization } = each;
	let [verdicts, allowed] = [0, 0];
	const compare = (what: object, expected: Verdict, [envoy, weft]: readonly (Verdict | undefined)[]) => {
		verdicts++;
		if (expected.status === 200) allowed++;
		if ([envoy, weft].every((verdict) => verdict?.status === expected.status && verdict.path === expected.path)) return;
		const shown = { seed, normalization, what, expected, envoy, weft };
		disagreements.push(`${JSON.stringify(shown)}\n${policies.map((policy) => JSON.stringify(policy)).join("\n")}`);
	};
	for (const { peer, calls } of each.connections) {
		for (const call of calls) {
			const answers = await Promise.all(proxies.map((proxy) => verdictOnRequest(proxy, seed, peer, call)));
			const query = call.path.includes("?") ? call.path.slice(call.path.indexOf("?")) : "";
			const passes = isAllowed(each, peer, call);
			compare({ peer, call }, passes ? { status: 200, path: judgedPath(call.path, normalization) + query } : { status: 403, path: undefined }, answers);
		}
	}
	for (const peer of each.tcp) {
		const answers = await Promise.all(proxies.map((proxy) => verdictOnConnection(proxy, seed, peer)));
		const verdict = (passes: boolean): Verdict => ({ status: passes ? 200 : 403, path: undefined });
		compare({ tcp: peer }, verdict(isAllowed(each, peer, undefined)), answers.map(verdict));
	}
	return { verdicts, allowed, disagreements };
}
