import { arch, cpus, loadavg, release, totalmem, type } from "node:os";

export type MachineShape = {
	readonly cores: number;
	readonly model: string;
	readonly kernel: string;
	readonly memoryMb: number;
	/** One-minute load average when the run began: what else the machine was doing. */
	readonly loadBefore: number;
};

export function readMachineShape(): MachineShape {
	const processors = cpus();
	return {
		cores: processors.length,
		model: processors[0]?.model.trim() ?? "unknown",
		kernel: `${type()} ${release()} ${arch()}`,
		memoryMb: Math.round(totalmem() / 1_048_576),
		loadBefore: loadavg()[0] ?? 0,
	};
}
