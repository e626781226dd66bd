import { isIP } from "node:net";
import type { ProxyProtocolOptions } from "../../../packages/proxy/src/config/listeners.ts";
import { type Endpoint, readProxyProtocol } from "../../../packages/proxy/src/data/listener/proxy-protocol.ts";
import { check } from "../invariants.ts";
import { checkPrefixes } from "../prefixes.ts";

const both = ["v1", "v2"] as const;
const configurations: readonly ProxyProtocolOptions[] = [
	{ allowWithout: false, versions: both },
	{ allowWithout: true, versions: both },
	{ allowWithout: true, versions: ["v1"] },
	{ allowWithout: true, versions: ["v2"] },
];

/** Judged once and for all by the first bytes; what is taken for an address is one, both are of one family, and the header ends within the input. */
export function fuzz(data: Buffer): void {
	for (const options of configurations) {
		const verdict = checkPrefixes(
			data,
			(bytes) => readProxyProtocol(bytes, options),
			({ kind }) => kind === "incomplete",
		);
		if (verdict.kind !== "header") continue;
		check(verdict.length <= data.length, "the header ends behind the input");
		const { source, destination } = verdict;
		check((source === undefined) === (destination === undefined), "one end is known, the other is not");
		if (source && destination) check(familyOf(source) === familyOf(destination), `${source.address} talks to ${destination.address}`);
	}
}

function familyOf({ address, port }: Endpoint): number {
	check(Number.isInteger(port) && port >= 0 && port <= 65_535, `port ${port}`);
	const family = isIP(address);
	check(family !== 0, `${JSON.stringify(address)} is no address`);
	return family;
}
