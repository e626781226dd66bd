import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mergeStatus } from "./merge-status.ts";

const then = "2026-01-01T00:00:00Z";
const now = "2026-02-02T00:00:00Z";
const condition = (type: string, status: string, message = "m", time?: string) => ({
	type,
	status,
	reason: "r",
	message,
	...(time && { lastTransitionTime: time }),
});

describe("what is written into status", () => {
	it("a new condition is of now; one that says the same keeps its time, even with another message", () => {
		const present = { conditions: [condition("Programmed", "True", "old", then), condition("Accepted", "False", "m", then)] };
		assert.deepEqual(mergeStatus({ conditions: [condition("Accepted", "True"), condition("Programmed", "True")] }, present, now), {
			conditions: [condition("Accepted", "True", "m", now), condition("Programmed", "True", "m", then)],
		});
	});
	it("nothing is written where all of it is there, whatever else the object says", () => {
		const present = { addresses: [], conditions: [{ ...condition("Accepted", "True", "m", then), observedGeneration: 1 }], more: 1 };
		assert.equal(mergeStatus({ conditions: [condition("Accepted", "True")] }, present, now), undefined);
		assert.deepEqual(mergeStatus({ conditions: [] }, present, now), { conditions: [] });
	});
	it("times are kept for each listener by its name", () => {
		const present = { listeners: [{ name: "a", conditions: [condition("Ready", "True", "m", then)] }] };
		const computed = {
			listeners: [
				{ name: "b", conditions: [condition("Ready", "True")] },
				{ name: "a", conditions: [condition("Ready", "True")] },
			],
		};
		assert.deepEqual(mergeStatus(computed, present, now), {
			listeners: [
				{ name: "b", conditions: [condition("Ready", "True", "m", now)] },
				{ name: "a", conditions: [condition("Ready", "True", "m", then)] },
			],
		});
	});
	it("parents of other controllers stay, our own are replaced", () => {
		const parent = (controllerName: string, name: string, time?: string) => ({
			controllerName,
			parentRef: { name },
			conditions: [condition("Accepted", "True", "m", time)],
		});
		const withDefaults = { ...parent("ours", "a", then), parentRef: { name: "a", kind: "Gateway" } };
		const present = { parents: [parent("theirs", "a", then), withDefaults, parent("ours", "gone", then)] };
		assert.deepEqual(mergeStatus({ parents: [parent("ours", "a"), parent("ours", "b")] }, present, now), {
			parents: [parent("theirs", "a", then), parent("ours", "a", then), parent("ours", "b", now)],
		});
	});
	it("an object without status gets all", () => {
		assert.deepEqual(mergeStatus({ addresses: [{ host: "h", value: "240.240.0.1" }] }, undefined, now), { addresses: [{ host: "h", value: "240.240.0.1" }] });
	});
});
