/** Clusters that are not there are asked for by name when something wants them (ODCDS); over ADS. */
export interface OnDemandClusters {
	/** How long whoever wants one waits. */
	readonly timeoutMs: number;
}
