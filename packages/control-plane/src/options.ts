import type { MeshConfig, MeshNetworks } from "@weft/api";
import type { JwtRule } from "@weft/citadel";
import type { Clock, Logger } from "@weft/runtime";

/** `host:port`; port 0 takes a free one. */
export type BindAddress = string;

/** istiod's. */
export const workloadGraceMsDefault = 10_000;

export interface ControlPlaneOptions {
	/** A directory of YAML that is watched. */
	readonly files: string;
	readonly meshConfig: MeshConfig;
	/** Undefined: no networks are declared. */
	readonly meshNetworks?: MeshNetworks | undefined;
	/** Plain-text ADS: loopback only, and only when asked for. */
	readonly plaintextGrpc: BindAddress | undefined;
	/** ADS and certificate signing over TLS; undefined: neither. */
	readonly secure: SecureOptions | undefined;
	readonly http: BindAddress;
	/** Where instances register themselves, over TLS; needs `secure`. Undefined: nowhere. */
	readonly https?: BindAddress | undefined;
	/** With it, `/api/v1` on the HTTP address changes the files for callers that know this token. */
	readonly apiToken: string | undefined;
	/** Where the API writes, below `files`. */
	readonly apiDirectory: string | undefined;
	/** How long the entry of a registered workload that went away is kept; undefined: 10 s. */
	readonly workloadGraceMs?: number | undefined;
	/** Undefined: 100 ms and 10 s. */
	readonly debounceQuietMs: number | undefined;
	readonly debounceCapMs: number | undefined;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

export interface SecureOptions {
	readonly address: BindAddress;
	/** The authority's key and root are kept here. */
	readonly caDirectory: string;
	/** Key of the tokens that the local launcher issues. */
	readonly tokenKeyFile: string;
	/** Lifetime of workload certificates; undefined: 24 h. */
	readonly leafTtlMs: number | undefined;
	/** Whose tokens are believed beside the launcher's: JWT_RULE. */
	readonly jwtRule?: JwtRule;
	/** How long a new root is handed out at least before it signs; default 2 s. */
	readonly rootDistributeMs?: number;
	/** How long an old root stays trusted at least; default: as long as a workload certificate lives. */
	readonly rootRetireMs?: number;
}

export function splitAddress(address: BindAddress): { host: string; port: number } {
	const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address);
	const port = Number(match?.[3]);
	if (!match || port > 65535) throw new Error(`"${address}" is not an address of the form HOST:PORT`);
	return { host: match[1] ?? (match[2] || "127.0.0.1"), port };
}

export function isLoopback(host: string): boolean {
	return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Only what is set: discovery has defaults of its own. */
export function debounceOf({ debounceQuietMs, debounceCapMs }: { readonly debounceQuietMs: number | undefined; readonly debounceCapMs: number | undefined }) {
	return { ...(debounceQuietMs === undefined ? {} : { debounceQuietMs }), ...(debounceCapMs === undefined ? {} : { debounceCapMs }) };
}
