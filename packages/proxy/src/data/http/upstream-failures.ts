import type { ResetReason as RetryReason } from "../filters/retry-policy.ts";
import { responseFlags } from "../log/response-flags.ts";
import type { PoolFailure, ResetReason } from "../upstream/exchange.ts";
import type { LocalReply } from "./local-reply.ts";
import type { HttpStream } from "./stream.ts";

/** An attempt that brought no answer: what the client, the log and the retry policy are told. */
export interface Failure {
	/** Envoy's words for the reset reason. */
	readonly words: string;
	readonly flag: number;
	readonly status: 502 | 503;
	readonly retry: RetryReason;
}

export const poolFailures: Readonly<Record<PoolFailure, Failure>> = {
	overflow: { words: "overflow", flag: responseFlags.UO, status: 503, retry: "overflow" },
	localConnectionFailure: { words: "local connection failure", flag: responseFlags.UF, status: 503, retry: "connectFailure" },
	remoteConnectionFailure: { words: "remote connection failure", flag: responseFlags.UF, status: 503, retry: "connectFailure" },
	connectionTimeout: { words: "connection timeout", flag: responseFlags.UF, status: 503, retry: "connectTimeout" },
};

export const resetFailures: Readonly<Record<ResetReason, Failure>> = {
	connectionTermination: { words: "connection termination", flag: responseFlags.UC, status: 503, retry: "connectionTermination" },
	protocolError: { words: "protocol error", flag: responseFlags.UPE, status: 502, retry: "protocolError" },
	remoteReset: { words: "remote reset", flag: responseFlags.UR, status: 503, retry: "remoteReset" },
	remoteRefused: { words: "remote refused stream reset", flag: responseFlags.UR, status: 503, retry: "remoteRefused" },
	unprocessed: { words: "remote refused stream reset", flag: responseFlags.UR, status: 503, retry: "remoteRefused" },
	localReset: { words: "local reset", flag: responseFlags.LR, status: 503, retry: "localReset" },
};

/** Why a connection failed is for the log: to a client it would tell of the inside. */
export function resetReply(failure: Failure, transportFailure: string, { info, manager }: HttpStream): LocalReply {
	const retried = info.attemptCount > 1 ? "retried and the latest " : "";
	return {
		status: failure.status,
		body: `upstream connect error or disconnect/reset before headers. ${retried}reset reason: ${failure.words}`,
		flags: failure.flag,
		details: `upstream_reset_before_response_started{${[failure.words, transportFailure].filter((part) => part !== "").join("|")}}`,
		headers: failure.flag === responseFlags.UO && !manager.suppressEnvoyHeaders ? ["x-envoy-overloaded", "true"] : [],
	};
}
