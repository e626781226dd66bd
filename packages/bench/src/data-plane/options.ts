import { parseArgs } from "node:util";
import { type PeerName, peerNames } from "./peers.ts";
import { type ScenarioName, scenarioNames } from "./scenarios.ts";

export type DataPlaneOptions = {
	readonly peers: readonly PeerName[];
	readonly scenarios: readonly ScenarioName[];
	readonly rounds: number;
	readonly seconds: number;
	readonly connections: number;
	/** How often a measurement that others disturb is made, at most. */
	readonly tries: number;
	/** Whether the results are written to the repository, or only printed. */
	readonly record: boolean;
};

/** The defaults keep a whole run on a quiet machine under twelve minutes. @throws Error naming the flag that is not understood */
export function decodeOptions(args: readonly string[]): DataPlaneOptions {
	const { values } = parseArgs({
		args: [...args],
		options: {
			peers: { type: "string", default: peerNames.join(",") },
			scenarios: { type: "string", default: scenarioNames.join(",") },
			rounds: { type: "string", default: "3" },
			seconds: { type: "string", default: "2" },
			connections: { type: "string", default: "64" },
			tries: { type: "string", default: "2" },
			"no-record": { type: "boolean", default: false },
		},
	});
	return {
		peers: decodeList("--peers", values.peers, peerNames),
		scenarios: decodeList("--scenarios", values.scenarios, scenarioNames),
		rounds: decodeCount("--rounds", values.rounds, 50),
		seconds: decodeCount("--seconds", values.seconds, 60),
		connections: decodeCount("--connections", values.connections, 1000),
		tries: decodeCount("--tries", values.tries, 10),
		record: !values["no-record"],
	};
}

function decodeList<T extends string>(flag: string, text: string, allowed: readonly T[]): readonly T[] {
	const words = text.split(",").map((word) => word.trim());
	const unknown = words.find((word) => !allowed.some((name) => name === word));
	if (unknown !== undefined) throw new Error(`${flag}: "${unknown}" is not one of ${allowed.join(", ")}`);
	return allowed.filter((name) => words.includes(name));
}

function decodeCount(flag: string, text: string, max: number): number {
	const count = Number(text);
	if (!Number.isInteger(count) || count < 1 || count > max) throw new Error(`${flag}: expected a whole number from 1 to ${max}, got "${text}"`);
	return count;
}
