// `npm run soak -- storm [--seconds 30] [--edits 200]`: a storm of edits of the configuration while requests are sent without a
// pause, for each kind of proxy. Ends with status 1 when a request was lost, a proxy refused something, or the storm was none.
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { call, freePort, hostOf, object, type Peer, peers, startMesh, startPeer } from "../interop/pilot-and-proxy.ts";
import { runStorm, type StormOptions } from "../interop/storm.ts";

const host = hostOf("a");
const readyTimeoutMs = 30_000;

export async function soakStorm(args: readonly string[]): Promise<number> {
	const { values } = parseArgs({ args: [...args], options: { seconds: { type: "string", default: "30" }, edits: { type: "string", default: "200" } } });
	const [seconds, editsPerSecond] = [Number(values.seconds), Number(values.edits)];
	let failed = 0;
	for (const peer of peers) {
		if (peer.skip) console.log(`${peer.name}: skipped: ${peer.skip}`);
		else if (!(await stormOf(peer, { seconds, editsPerSecond }))) failed++;
	}
	return failed === 0 ? 0 : 1;
}

async function stormOf(peer: Peer, options: Pick<StormOptions, "seconds" | "editsPerSecond">): Promise<boolean> {
	const mesh = await startMesh();
	const subsets = object("DestinationRule", "a", { host, subsets: [{ name: "v1", labels: { version: "v1" } }] });
	const route = object("VirtualService", "a", { hosts: [host], http: [{ route: [{ destination: { host, subset: "v1" } }] }] });
	await mesh.apply([mesh.service("a"), subsets, route]);
	const proxyPort = await freePort();
	const get = () => call(proxyPort, host).catch((error: Error) => error.message);
	const stopPeer = await startPeer(peer, mesh.port, proxyPort);
	try {
		for (const end = performance.now() + readyTimeoutMs; (await get()) !== "v1"; await sleep(50)) {
			if (performance.now() > end) throw new Error(`${peer.name} does not serve after ${readyTimeoutMs} ms`);
		}
		const { requests, edits, lost } = await runStorm({ mesh, get, ...options });
		const held = edits >= options.seconds * options.editsPerSecond * 0.9;
		const count = Object.values(lost).reduce((a, b) => a + b, 0);
		const pace = held ? "" : ` (fewer than asked for: the machine is too busy)`;
		console.log(
			`${peer.name}: ${edits} edits in ${options.seconds} s${pace}, ${requests} requests, ${count} lost ${JSON.stringify(lost)}, ${mesh.refusals.length} refusals`,
		);
		return held && requests > 0 && count === 0 && mesh.refusals.length === 0;
	} finally {
		await stopPeer();
		mesh.stop();
	}
}
