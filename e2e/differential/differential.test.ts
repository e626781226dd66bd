import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { balancing } from "./cases/balancing.ts";
import { headerValues } from "./cases/header-values.ts";
import { hedging } from "./cases/hedging.ts";
import { http1 } from "./cases/http1.ts";
import { interplay } from "./cases/interplay.ts";
import { internalRedirects } from "./cases/internal-redirects.ts";
import { origin } from "./cases/origin.ts";
import { paths } from "./cases/paths.ts";
import { replies } from "./cases/replies.ts";
import { resilience } from "./cases/resilience.ts";
import { retries } from "./cases/retries.ts";
import { routing } from "./cases/routing.ts";
import { virtualClusters } from "./cases/virtual-clusters.ts";
import { intended } from "./intended.ts";
import { differences } from "./observation.ts";
import { skipReason as skip } from "./pair.ts";
import { World } from "./run-case.ts";

// The same configuration into both proxies, the same bytes at both, the same upstream behind both: what can be seen must be the same.
const suites = [routing, headerValues, internalRedirects, http1, paths, origin, replies, resilience, retries, hedging, balancing, virtualClusters, interplay];
const used = new Set<(typeof intended)[number]>();

for (const suite of suites) {
	describe(`like Envoy: ${suite.name}`, { skip }, () => {
		let envoy: World;
		let weft: World;

		before(async () => {
			[envoy, weft] = await World.startPair(suite);
		});
		after(() => Promise.all([envoy?.stop(), weft?.stop()]));

		async function unexplained(test: (typeof suite.cases)[number]): Promise<string> {
			const [expected, got] = await Promise.all([envoy.run(test), weft.run(test)]);
			const found = differences(expected, got).filter(({ path }) => {
				const reason = intended.find((one) => one.case.test(`${suite.name}: ${test.name}`) && one.path.test(path));
				if (reason !== undefined) used.add(reason);
				return reason === undefined;
			});
			return found.map(({ path, envoy: a, weft: b }) => `${path}: Envoy ${JSON.stringify(a)}, weft-proxy ${JSON.stringify(b)}`).join("\n");
		}

		for (const test of suite.cases) {
			it(test.name, async (t) => {
				const first = await unexplained(test);
				// Either may be late on a busy machine: a line of the log, a statistic. What is different is so each time.
				if (first !== "") {
					t.diagnostic(`once: ${first}`);
					assert.equal(await unexplained(test), "");
				}
				assert.ok(envoy.proxy.isAlive() && weft.proxy.isAlive(), "both proxies live");
			});
		}
	});
}

describe("the list of intended differences", { skip }, () => {
	it("holds nothing that no case shows", () => {
		assert.deepEqual(
			intended.filter((one) => !used.has(one)).map(({ why }) => why),
			[],
		);
	});
});
