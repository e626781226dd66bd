/** A pod of the local mesh, as `weft status` shows it. */
export interface PodStatus {
	readonly name: string;
	readonly namespace: string;
	readonly workload: string;
	readonly ready: boolean;
	readonly restarts: number;
	readonly ip: string;
	readonly adminAddress: string;
	readonly pids: readonly number[];
}
