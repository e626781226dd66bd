import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { it } from "node:test";
import { Worker } from "node:worker_threads";
import type { FromWorker, ToWorker } from "../../config/worker-messages.ts";
import { answerHeads, bodyOf, get, ok, startUpstream, statusOf } from "../http/test-peers.ts";
import { chainOf, clusterOf, forwardTo, hostsOf, listenerOf, managerOf, routeOf, tableOf, updateOf, workerInit } from "./standalone.ts";

it("serves in a thread of its own: update, request, scrape, a refused update, stop", async () => {
	const upstream = await startUpstream(answerHeads(() => ok("from the upstream")));
	const thread = new Worker(new URL("./entry.ts", import.meta.url), { workerData: workerInit(), execArgv: ["--no-warnings"] });
	const seen: FromWorker[] = [];
	let check = () => {};
	thread.on("message", (message: FromWorker) => {
		seen.push(message);
		check();
	});
	const next = <K extends FromWorker["kind"]>(kind: K) =>
		new Promise<Extract<FromWorker, { kind: K }>>((resolve) => {
			check = () => {
				const at = seen.findIndex((message) => message.kind === kind);
				if (at >= 0) resolve(seen.splice(at, 1)[0] as Extract<FromWorker, { kind: K }>);
			};
			check();
		});
	const post = (message: ToWorker) => thread.postMessage(message);
	await next("ready");
	const listener = listenerOf("web", [chainOf([managerOf(tableOf([routeOf("/", forwardTo("up"))]))])]);
	post({ kind: "update", update: updateOf({ listeners: [listener], clusters: [clusterOf("up")], hosts: [hostsOf("up", [upstream.port])] }) });
	const { port } = await next("listening");
	assert.deepEqual((await next("updated")).errors, []);
	assert.equal(bodyOf(await get(port, "/")), "from the upstream");

	post({ kind: "scrape", id: 7 });
	const { id, stats } = await next("scraped");
	const cluster = stats.counters.find((block) => block.prefix === "cluster.up." && block.names.includes("upstream_rq_total"));
	assert.equal(id, 7);
	assert.equal(cluster?.values[cluster.names.indexOf("upstream_rq_total")], 1);

	const broken = tableOf([routeOf("/", forwardTo("up"), { path: { kind: "regex", value: "(" } })], "broken");
	post({ kind: "update", update: updateOf({ routes: [broken] }) });
	const { errors } = await next("updated");
	assert.equal(errors[0]?.resource, "broken");
	assert.equal(statusOf(await get(port, "/")), 200);

	post({ kind: "stop" });
	await next("drained");
	await thread.terminate();
	upstream.close();
});

function countRings(): number {
	const targets = readdirSync("/proc/self/fd").map((fd) => {
		try {
			return readlinkSync(`/proc/self/fd/${fd}`);
		} catch {
			return "";
		}
	});
	return targets.filter((target) => target.includes("io_uring")).length;
}

it("leaves no ring behind when it fails", { skip: process.platform !== "linux" && "there is no io_uring" }, async () => {
	const before = countRings();
	const thread = new Worker(new URL("./entry.ts", import.meta.url), { workerData: workerInit(), execArgv: ["--no-warnings"] });
	await new Promise<void>((resolve) => thread.on("message", (message: FromWorker) => message.kind === "ready" && resolve()));
	const failed = new Promise((resolve) => thread.on("error", resolve));
	const ended = new Promise((resolve) => thread.on("exit", resolve));
	thread.postMessage({ kind: "update", update: null });
	await Promise.all([failed, ended]);
	assert.equal(countRings(), before);
});
