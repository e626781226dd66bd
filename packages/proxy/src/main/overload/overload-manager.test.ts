import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "@weft/runtime";
import { createOverloadBuffer, overloadActions, type OverloadConfig } from "../../config/overload.ts";
import { OverloadState } from "../../data/overload/overload-state.ts";
import { OverloadManager } from "./overload-manager.ts";

const config: OverloadConfig = {
	refreshMs: 1_000,
	monitors: [
		{ kind: "fixedHeap", name: "heap", bytesMax: 1_000 },
		{ kind: "injected", name: "file", path: "/pressure" },
		{ kind: "connections", name: "connections", connectionsMax: 4 },
	],
	actions: [
		{
			name: "stop_accepting_requests",
			timers: [],
			triggers: [
				{ resource: "file", scaling: 0.5, saturation: 1 },
				{ resource: "heap", scaling: 0.9, saturation: 0.9 },
			],
		},
		{
			name: "reduce_timeouts",
			triggers: [{ resource: "file", scaling: 0, saturation: 1 }],
			timers: [
				{ timer: "connectionIdle", minMs: 1_000 },
				{ timer: "streamIdle", minShare: 0.1 },
			],
		},
		{ name: "shrink_heap", timers: [], triggers: [{ resource: "heap", scaling: 0.95, saturation: 0.95 }] },
		{ name: "disable_http_keepalive", timers: [], triggers: [{ resource: "connections", scaling: 0.5, saturation: 0.5 }] },
	],
	shedPoints: [{ name: "connection_pool_new_connection", triggers: [{ resource: "file", scaling: 0.5, saturation: 1 }] }],
	connectionsMax: 4,
};

function start() {
	const machine = { memory: 0, file: "0", nowMs: 0, changes: 0, shrinks: 0, draw: 0 };
	const buffer = createOverloadBuffer(2);
	const manager = new OverloadManager({
		config,
		buffer,
		readFile: () => {
			if (machine.file === "absent") throw new Error("ENOENT");
			return Buffer.from(machine.file);
		},
		memoryBytes: () => machine.memory,
		onChange: () => machine.changes++,
		onShrinkHeap: () => machine.shrinks++,
		clock: { nowMs: () => machine.nowMs, monotonicMs: () => machine.nowMs, sleep: async () => undefined },
		logger: createLogger({ level: "none" }),
	});
	const timers = config.actions.flatMap((action) => action.timers);
	const workers = [0, 1].map(
		(index) => new OverloadState({ buffer, timers, shedPoints: ["connection_pool_new_connection"], connectionsMax: 4 }, index, () => machine.draw),
	);
	return { machine, manager, workers: workers as [OverloadState, OverloadState] };
}

const statsOf = (manager: OverloadManager) => {
	const { counters, gauges } = manager.stats();
	return Object.fromEntries([...counters, ...gauges].flatMap(({ prefix, names, values }) => names.map((name, i) => [prefix + name, values[i]])));
};

test("an action is done to the degree of its strongest trigger", () => {
	const { machine, manager, workers } = start();
	const [worker] = workers;
	manager.refresh();
	assert.deepEqual([worker.rejectsRequest, machine.changes], [false, 0]);
	machine.file = "0.75\n";
	manager.refresh();
	assert.equal(machine.changes, 1);
	machine.draw = 0.49;
	assert.equal(worker.rejectsRequest, true);
	machine.draw = 0.51;
	assert.equal(worker.rejectsRequest, false);
	machine.memory = 900;
	manager.refresh();
	assert.equal(worker.rejectsRequest, true);
	assert.equal(statsOf(manager)["overload.envoy.overload_actions.stop_accepting_requests.active"], 1);
	manager.refresh();
	assert.equal(machine.changes, 2);
});

test("load is shed with the chance that the pressure gives, and counted", () => {
	const { machine, manager, workers } = start();
	const [first, second] = workers;
	manager.refresh();
	assert.equal(first.sheds("connection_pool_new_connection"), false);
	machine.file = "0.75";
	manager.refresh();
	machine.draw = 0.49;
	assert.deepEqual([first.sheds("connection_pool_new_connection"), second.sheds("connection_pool_new_connection")], [true, true]);
	// Another point is not configured.
	assert.equal(first.sheds("tcp_listener_accept"), false);
	machine.draw = 0.51;
	assert.equal(first.sheds("connection_pool_new_connection"), false);
	const stats = statsOf(manager);
	assert.equal(stats["overload.envoy.load_shed_points.connection_pool_new_connection.shed_load_count"], 2);
	assert.equal(stats["overload.envoy.load_shed_points.connection_pool_new_connection.scale_percent"], 50);
});

test("timeouts shrink down to their least, and those that do not exist stay so", () => {
	const { machine, manager, workers } = start();
	const [worker] = workers;
	machine.file = "0.5";
	manager.refresh();
	assert.equal(worker.scale("connectionIdle", 5_000), 3_000);
	assert.equal(worker.scale("connectionIdle", 500), 500);
	assert.equal(worker.scale("connectionIdle", 0), 0);
	assert.equal(worker.scale("streamIdle", 1_000), 550);
	assert.equal(worker.scale("transportSocketConnect", 1_000), 1_000);
	machine.file = "1";
	manager.refresh();
	assert.equal(worker.scale("streamIdle", 1_000), 100);
});

test("connections are counted over all workers, and a worker that died leaves none", () => {
	const { machine, manager, workers } = start();
	const [first, second] = workers;
	first.addConnections(1);
	assert.equal(first.hasRoom, true);
	second.addConnections(3);
	assert.deepEqual([first.hasRoom, second.hasRoom], [false, false]);
	manager.refresh();
	assert.equal(statsOf(manager)["overload.connections.pressure"], 100);
	assert.equal(first.disablesKeepalive, true);
	second.addConnections(-1);
	assert.equal(first.hasRoom, true);
	machine.draw = 0.999;
	assert.equal(first.disablesKeepalive, true);
});

test("what cannot be read keeps its pressure, and is counted", () => {
	const { machine, manager } = start();
	machine.file = "0.75";
	manager.refresh();
	for (const file of ["2", "-1", "", "high", "absent"]) {
		machine.file = file;
		manager.refresh();
	}
	const stats = statsOf(manager);
	assert.deepEqual([stats["overload.file.pressure"], stats["overload.file.failed_updates"]], [75, 5]);
});

test("memory is given back every ten seconds while it is short", () => {
	const { machine, manager } = start();
	machine.memory = 960;
	for (machine.nowMs = 0; machine.nowMs <= 20_000; machine.nowMs += 1_000) manager.refresh();
	assert.equal(machine.shrinks, 3);
	assert.equal(statsOf(manager)["overload.envoy.overload_actions.shrink_heap.shrink_count"], 3);
	assert.equal(overloadActions.length, 6);
});
