import { statePaths, type StatePaths } from "../local/state.ts";

export interface StateOptions {
	readonly stateDir?: string;
}

export function pathsOf(options: StateOptions): StatePaths {
	return statePaths(options.stateDir ?? process.env["WEFT_STATE_DIR"] ?? ".weft");
}
