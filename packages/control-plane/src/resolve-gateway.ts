import { Resolver } from "node:dns/promises";
import type { ResolveGateway } from "@weft/pilot";

const timeoutMs = 5_000;

/**
 * Addresses of both families from the name servers of resolv.conf, without its search list, as istiod asks. Rejects where neither
 * family is answered. `servers`: others, for tests.
 */
export function createGatewayResolver(servers?: readonly string[]): ResolveGateway {
	return async (name, signal) => {
		const resolver = new Resolver({ timeout: timeoutMs, tries: 2 });
		if (servers) resolver.setServers(servers);
		const cancel = () => resolver.cancel();
		signal.addEventListener("abort", cancel, { once: true });
		try {
			const answers = await Promise.allSettled([resolver.resolve4(name, { ttl: true }), resolver.resolve6(name, { ttl: true })]);
			const records = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
			if (records.length === 0) throw new Error(answers.map((answer) => (answer.status === "rejected" ? (answer.reason as Error).message : "")).join("; "));
			return { addresses: records.map(({ address }) => address), ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000 };
		} finally {
			signal.removeEventListener("abort", cancel);
		}
	};
}
