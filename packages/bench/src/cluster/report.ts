import type { MachineShape } from "../data-plane/machine.ts";
import type { ClusterFigures, Quantiles } from "./main.ts";
import type { ProcessMemory } from "./memory.ts";

export function renderReport(figures: ClusterFigures, machine: MachineShape): string {
	const { controlPlaneIdle, controlPlaneLoaded, creationMs, imageMb, installMs, proxyIdle, shape, startMs } = figures;
	const rows: readonly (readonly [string, string])[] = [
		["`helm install` of both charts until the control plane is Ready", `${(installMs / 1_000).toFixed(1)} s`],
		["control plane, idle", memory(controlPlaneIdle)],
		[`control plane, ${controlPlaneLoaded.pods} running pods`, memory(controlPlaneLoaded)],
		[`creating a pod with injection, 20 pods/s, ${creationMs.pods} pods`, times(creationMs.injected)],
		["creating a pod without, the same rate", times(creationMs.plain)],
		["from creating a pod until its sidecar is ready", times(startMs)],
		["proxy in a pod, idle", memory(proxyIdle)],
		...Object.entries(imageMb).map(([name, size]): readonly [string, string] => [`image ${name}, compressed`, `${size} MB`]),
	];
	const date = new Date().toISOString().slice(0, 10);
	const where = `${shape}; the machine: ${machine.cores} cores, ${machine.model}, ${machine.memoryMb} MB, ${machine.kernel}, load ${machine.loadBefore.toFixed(1)} at the end`;
	return `# On Kubernetes\n\nRecorded ${date} by \`npm run bench -- cluster\` on ${where}. The node and everything on it share those cores.\n\n| what | figure |\n|---|---|\n${rows.map(([what, figure]) => `| ${what} | ${figure} |\n`).join("")}`;
}

const memory = ({ rss, anonymous }: ProcessMemory): string => `${rss} MB resident${anonymous === undefined ? "" : `, ${anonymous} MB of it anonymous`}`;

const times = ({ p50, p99, max, count }: Quantiles): string =>
	count < 100 ? `median ${p50} ms, longest ${max} ms of ${count}` : `p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`;
