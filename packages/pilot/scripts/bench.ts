// Prints what a translation costs: cold, after one VirtualService edit, after one endpoint change.
//   node scripts/bench.ts [SERVICES] [PROXIES]

import { createStore } from "@weft/galley";
import { resourceView } from "../src/translator/resource-view.ts";
import { buildPush } from "../src/model/build-push.ts";
import { decodeNode } from "../src/model/node.ts";
import type { PushSnapshot } from "../src/model/push.ts";
import { stats } from "../src/translator/encode.ts";
import { syntheticMesh } from "./synthetic-mesh.ts";

const services = Number(process.argv[2] ?? 1000);
const proxies = Number(process.argv[3] ?? 200);
const mesh = syntheticMesh(services);
const store = createStore();
store.replaceSource("bench", mesh.objects);

/** What the xDS server asks for a proxy: everything when it connects, later only what has a new revision. */
interface Client {
	readonly index: number;
	readonly revisions: Map<string, unknown>;
}

const clients: readonly Client[] = Array.from({ length: proxies }, (_, index) => ({ index, revisions: new Map() }));

function serve(push: PushSnapshot): { readonly bytes: number } {
	let bytes = 0;
	for (const { index, revisions } of clients) {
		const view = resourceView(push, decodeNode(mesh.node(index), push));
		for (const type of ["cds", "eds", "lds", "rds"] as const) {
			const revision = view.revision(type);
			if (revisions.get(type) === revision) continue;
			revisions.set(type, revision);
			if (type === "cds" || type === "lds") for (const resource of view.all(type).values()) bytes += resource.bytes.length;
			else if (type === "rds") bytes += view.get("rds", "80")?.bytes.length ?? 0;
			else for (const name of view.all("cds").keys()) bytes += name.startsWith("outbound") ? (view.get("eds", name)?.bytes.length ?? 0) : 0;
		}
	}
	return { bytes };
}

let push: PushSnapshot | undefined;

function step(title: string): void {
	const before = structuredClone(stats);
	const cpu = process.cpuUsage();
	const started = performance.now();
	push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" }, push);
	const built = performance.now();
	const { bytes } = serve(push);
	const { user, system } = process.cpuUsage(cpu);
	const counts = (["cds", "eds", "lds", "rds"] as const).map((type) => `${type} ${stats.encodes[type] - before.encodes[type]}`).join(", ");
	console.log(
		`${title}: ${Math.round(performance.now() - started)} ms (push ${Math.round(built - started)} ms), CPU ${Math.round((user + system) / 1000)} ms, ` +
			`encoded ${counts}; ${(bytes / proxies / 1e6).toFixed(2)} MB a proxy; heap ${Math.round(process.memoryUsage().heapUsed / 1e6)} MB`,
	);
}

console.log(`${services} services, ${proxies} proxies`);
step("cold");
for (let round = 1; round <= 3; round++) {
	store.apply({ source: "bench", upsert: [mesh.editedVirtualService(5, 5 + round)], remove: [] });
	step(`VirtualService edit ${round}`);
}
for (let round = 1; round <= 3; round++) {
	store.apply({ source: "bench", upsert: [mesh.editedServiceEntry(7, `10.250.0.${round}`)], remove: [] });
	step(`endpoint change ${round}`);
}
