/** Envoy's response flags as bits (one 32-bit integer per stream), in the order in which Envoy prints them. */
export const responseFlags = {
	// Said by filters that let the request go on.
	DI: 1 << 9,
	RLSE: 1 << 13,
	// Said before the last attempt's own.
	URX: 1 << 15,
	LH: 1 << 0,
	UH: 1 << 1,
	UT: 1 << 2,
	LR: 1 << 3,
	UR: 1 << 4,
	UF: 1 << 5,
	UC: 1 << 6,
	UO: 1 << 7,
	NR: 1 << 8,
	FI: 1 << 10,
	RL: 1 << 11,
	UAEX: 1 << 12,
	DC: 1 << 14,
	SI: 1 << 16,
	IH: 1 << 17,
	DPE: 1 << 18,
	UMSDR: 1 << 19,
	RFCF: 1 << 20,
	NFCF: 1 << 21,
	DT: 1 << 22,
	UPE: 1 << 23,
	NC: 1 << 24,
	OM: 1 << 25,
	DF: 1 << 26,
	DO: 1 << 27,
	DR: 1 << 28,
	UDO: 1 << 29,
} as const;

export type ResponseFlag = keyof typeof responseFlags;

const longNames: Readonly<Record<ResponseFlag, string>> = {
	LH: "FailedLocalHealthCheck",
	UH: "NoHealthyUpstream",
	UT: "UpstreamRequestTimeout",
	LR: "LocalReset",
	UR: "UpstreamRemoteReset",
	UF: "UpstreamConnectionFailure",
	UC: "UpstreamConnectionTermination",
	UO: "UpstreamOverflow",
	NR: "NoRouteFound",
	DI: "DelayInjected",
	FI: "FaultInjected",
	RL: "RateLimited",
	UAEX: "UnauthorizedExternalService",
	RLSE: "RateLimitServiceError",
	DC: "DownstreamConnectionTermination",
	URX: "UpstreamRetryLimitExceeded",
	SI: "StreamIdleTimeout",
	IH: "InvalidEnvoyRequestHeaders",
	DPE: "DownstreamProtocolError",
	UMSDR: "UpstreamMaxStreamDurationReached",
	RFCF: "ResponseFromCacheFilter",
	NFCF: "NoFilterConfigFound",
	DT: "DurationTimeout",
	UPE: "UpstreamProtocolError",
	NC: "NoClusterFound",
	OM: "OverloadManagerTerminated",
	DF: "DnsResolutionFailed",
	DO: "DropOverload",
	DR: "DownstreamRemoteReset",
	UDO: "UnconditionalDropOverload",
};

const names = Object.keys(responseFlags) as readonly ResponseFlag[];
const cacheMax = 256;
const short = new Map<number, string>();
const long = new Map<number, string>();

function joinNames(flags: number, nameOf: (flag: ResponseFlag) => string): string {
	const set = names.filter((name) => (flags & responseFlags[name]) !== 0);
	return set.length === 0 ? "-" : set.map(nameOf).join(",");
}

/** `URX,UF`, or `-`; a handful of combinations occur, so they are remembered. Of a TCP connection it is `UF,URX`. */
export function formatResponseFlags(flags: number, isConnection = false): string {
	if (flags === 0) return "-";
	if (isConnection && flags !== responseFlags.URX && (flags & responseFlags.URX) !== 0) return `${formatResponseFlags(flags & ~responseFlags.URX)},URX`;
	const known = short.get(flags);
	if (known !== undefined) return known;
	const text = joinNames(flags, (name) => name);
	if (short.size < cacheMax) short.set(flags, text);
	return text;
}

export function formatResponseFlagsLong(flags: number): string {
	if (flags === 0) return "-";
	const known = long.get(flags);
	if (known !== undefined) return known;
	const text = joinNames(flags, (name) => longNames[name]);
	if (long.size < cacheMax) long.set(flags, text);
	return text;
}

export function responseFlagBit(name: string): number | undefined {
	return Object.hasOwn(responseFlags, name) ? responseFlags[name as ResponseFlag] : undefined;
}
