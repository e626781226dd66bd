import assert from "node:assert/strict";
import { test } from "node:test";
import type { XdsType } from "@weft/xds";
import { foldedStates } from "./xds-answers.ts";

function state(type: XdsType, nonceSent: string, nonceAcked: string, sentAtMs: number, error?: string) {
	const nack = error === undefined ? undefined : { message: error, names: [] };
	return { type, sent: "", acked: "", nack, nonceSent, nonceAcked, sentAtMs, names: new Set<string>() };
}

test("virtual hosts that come one by one count with their tables: the worse of the two, at the later time", () => {
	const cds = state("cds", "1.1", "1.1", 1);
	const tables = state("rds", "1.2", "1.2", 2);
	const fold = (...states: Parameters<typeof foldedStates>[0]) =>
		foldedStates(states).map(({ type, nonceSent, nonceAcked, sentAtMs, nack }) => [type, nonceSent === nonceAcked, sentAtMs, nack?.message]);
	assert.deepEqual(fold(cds, tables), [
		["cds", true, 1, undefined],
		["rds", true, 2, undefined],
	]);
	assert.deepEqual(fold(tables, state("vhds", "1.3", "1.3", 3)), [["rds", true, 3, undefined]]);
	assert.deepEqual(fold(tables, state("vhds", "1.3", "1.1", 3)), [["rds", false, 3, undefined]]);
	assert.deepEqual(fold(tables, state("vhds", "1.3", "1.1", 3, "no")), [["rds", false, 3, "no"]]);
	assert.deepEqual(fold(tables, state("vhds", "", "", 0)), [["rds", true, 2, undefined]]);
	assert.deepEqual(fold(state("rds", "1.2", "", 2, "bad"), state("vhds", "1.3", "", 3)), [["rds", false, 3, "bad"]]);
});
