import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { http2Limits } from "./cases/http2-limits.ts";
import { http2Messages } from "./cases/http2-messages.ts";
import { http2Resources } from "./cases/http2-resources.ts";
import { http2Streams } from "./cases/http2-streams.ts";
import { http2Tunnels } from "./cases/http2-tunnels.ts";
import { http2Intended } from "./http2-intended.ts";
import { Http2World, type Http2Case } from "./http2-world.ts";
import { differences } from "./observation.ts";
import { skipReason as skip } from "./pair.ts";

// As `differential.test.ts`, frame by frame.
const groups: Readonly<Record<string, readonly Http2Case[]>> = { messages: http2Messages, streams: http2Streams, tunnels: http2Tunnels, limits: http2Limits };
const used = new Set<(typeof http2Intended)[number]>();

describe("HTTP/2 like Envoy", { skip }, () => {
	let envoy: Http2World;
	let weft: Http2World;
	before(async () => {
		[envoy, weft] = await Http2World.startPair(http2Resources);
	});
	after(() => Promise.all([envoy?.stop(), weft?.stop()]));

	async function unexplained(name: string, test: Http2Case): Promise<string> {
		const [expected, got] = await Promise.all([envoy.run(test), weft.run(test)]);
		const found = differences(expected, got).filter(({ path }) => {
			const reason = http2Intended.find((one) => one.case.test(name) && one.path.test(path));
			if (reason !== undefined) used.add(reason);
			return reason === undefined;
		});
		return found.map(({ path, envoy: a, weft: b }) => `${path}: Envoy ${JSON.stringify(a)}, weft-proxy ${JSON.stringify(b)}`).join("\n");
	}

	for (const [group, cases] of Object.entries(groups)) {
		describe(group, () => {
			for (const test of cases) {
				it(test.name, async (t) => {
					const first = await unexplained(`${group}: ${test.name}`, test);
					// Either may be late on a busy machine. What is different is so each time.
					if (first !== "") {
						t.diagnostic(`once: ${first}`);
						assert.equal(await unexplained(`${group}: ${test.name}`, test), "");
					}
					assert.ok(envoy.proxy.isAlive() && weft.proxy.isAlive(), "both proxies live");
				});
			}
		});
	}

	it("no difference is listed that no case shows", () => {
		assert.deepEqual(
			http2Intended.filter((one) => !used.has(one) && one.isByChance !== true).map(({ why }) => why),
			[],
		);
	});
});
