import assert from "node:assert/strict";
import { eventually, kubectl } from "./kubectl.ts";
import { pods, rolledOut } from "./mesh.ts";
import { curlFrom } from "./traffic.ts";

/** The revisions that injected the pods of a namespace. */
export async function revisionsOf(namespace: string): Promise<ReadonlySet<string | undefined>> {
	return new Set((await pods(namespace)).map(({ metadata }) => metadata.annotations?.["istio.io/rev"]));
}

/** Gives httpbin and sleep of one namespace to another revision; they and those of the other namespace still reach each other, by mutual TLS. */
export async function moveToRevision(moves: string, revision: string, stays: string): Promise<void> {
	await kubectl("label", "namespace", moves, "istio-injection-", `istio.io/rev=${revision}`);
	await kubectl("rollout", "restart", "-n", moves, "deployment/httpbin", "deployment/sleep");
	await rolledOut(moves);
	await eventually("moved", async () => assert.deepEqual(await revisionsOf(moves), new Set([revision])));
	assert.deepEqual(await revisionsOf(stays), new Set(["default"]));
	for (const [from, to] of [
		[stays, moves],
		[moves, stays],
	] as const) {
		await eventually(`${from} to ${to}`, async () => {
			const { status, body } = await curlFrom(from, "deploy/sleep", `http://httpbin.${to}:8000/headers`);
			assert.equal(status, 200);
			assert.match(body, new RegExp(`spiffe://cluster\\.local/ns/${from}/sa/sleep`), "mutual TLS across revisions");
		});
	}
}
