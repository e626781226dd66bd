import assert from "node:assert/strict";
import { test } from "node:test";
import { skipReason } from "../differential/pair.ts";
import { judgeBatch } from "./judge.ts";

// Generated policies and requests; `npm run soak -- verdicts` goes on from other seeds. A disagreement names its seed: judgeBatch(SEED, 1) is that case alone.

test("Envoy, weft-proxy and the API's text agree on every verdict, and on the path that was judged", { skip: skipReason, timeout: 230_000 }, async () => {
	const { verdicts, allowed, disagreements } = await judgeBatch(1, 30);
	assert.deepEqual(disagreements, []);
	assert.equal(verdicts, 30 * 28);
	// Cases that all end alike would prove nothing.
	assert.ok(allowed > verdicts / 5 && allowed < (verdicts * 4) / 5, `${allowed} of ${verdicts} were allowed`);
});
