import assert from "node:assert/strict";
import { type TestContext, it } from "node:test";
import { createTimerWheel, Timer } from "./timers.ts";

function setUp(t: TestContext) {
	t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
	let now = 1000;
	let fired = 0;
	const wheel = createTimerWheel(
		() => now,
		(fire) => fire(),
	);
	t.after(() => wheel.close());
	const timer = new Timer(wheel, () => void fired++);
	const pass = (ms: number) => {
		for (let i = 0; i < ms; i += 250) {
			now += 250;
			t.mock.timers.tick(250);
		}
		return fired;
	};
	return { timer, pass };
}

it("fires once, at most one slot late", (t) => {
	const { timer, pass } = setUp(t);
	timer.arm(5000);
	assert.equal(pass(4750), 0);
	assert.equal(pass(500), 1);
	assert.equal(timer.isArmed, false);
	assert.equal(pass(200_000), 1);
});

it("goes by the last deadline, be it later or earlier than the one before", (t) => {
	const { timer, pass } = setUp(t);
	timer.arm(5000);
	timer.arm(10_000);
	assert.equal(pass(9750), 0);
	assert.equal(pass(500), 1);
	timer.arm(300_000);
	timer.arm(3000);
	assert.equal(pass(3250), 2);
	timer.arm(3000);
	timer.arm(10);
	assert.equal(pass(250), 3);
	assert.equal(pass(5000), 3);
});

it("does not fire once cancelled or disarmed, and can be armed again", (t) => {
	const { timer, pass } = setUp(t);
	for (const stop of [() => timer.cancel(), () => timer.disarm(), () => timer.arm(0)]) {
		timer.arm(4000);
		stop();
		assert.equal(timer.isArmed, false);
		assert.equal(pass(6000), 0);
	}
	timer.arm(4000);
	timer.cancel();
	timer.arm(4000);
	assert.equal(pass(4500), 1);
});

it("keeps deadlines beyond one turn of the wheel", (t) => {
	const { timer, pass } = setUp(t);
	timer.arm(300_000);
	assert.equal(pass(299_750), 0);
	assert.equal(pass(500), 1);
});
