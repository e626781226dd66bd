import type { KubeResponse } from "./transport.ts";

/** What the API server answered instead of doing what it was asked. */
export class KubeError extends Error {
	/** HTTP status; `Status.code` of an ERROR event. */
	readonly status: number;
	/** `Status.reason`: NotFound, AlreadyExists, Conflict, Expired, Forbidden … */
	readonly reason: string;
	readonly retryAfterMs: number | undefined;

	constructor(status: number, reason: string, message: string, retryAfterMs?: number) {
		super(message);
		this.name = "KubeError";
		this.status = status;
		this.reason = reason;
		this.retryAfterMs = retryAfterMs;
	}
}

/** The API server did not answer: it may later. */
export class KubeUnreachable extends Error {
	constructor(message: string, cause: unknown) {
		super(message, { cause });
		this.name = "KubeUnreachable";
	}
}

/** Is another attempt worth while? The server is away, starting, overloaded or in trouble. */
export function isTemporary(error: unknown): boolean {
	return error instanceof KubeUnreachable || (error instanceof KubeError && (error.status >= 500 || error.status === 429));
}

interface StatusBody {
	readonly code?: number;
	readonly reason?: string;
	readonly message?: string;
}

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
export function errorOfStatus(value: unknown, fallbackStatus: number, retryAfterMs?: number): KubeError {
	const { code, reason, message } = (typeof value === "object" && value !== null ? value : {}) as StatusBody;
	const status = typeof code === "number" ? code : fallbackStatus;
	return new KubeError(status, typeof reason === "string" ? reason : "", typeof message === "string" ? message : `HTTP status ${status}`, retryAfterMs);
}

export function errorOfResponse(what: string, { status, body, retryAfter }: KubeResponse): KubeError {
	const retryAfterMs = retryAfter === undefined || !/^\d{1,5}$/.test(retryAfter) ? undefined : Number(retryAfter) * 1000;
	let parsed: unknown;
	try {
		parsed = JSON.parse(body);
	} catch {
		// A proxy in between answers in its own words.
		parsed = { message: body.slice(0, 200) };
	}
	const error = errorOfStatus(parsed, status, retryAfterMs);
	return new KubeError(status, error.reason, `${what}: ${error.message}`, retryAfterMs);
}

export const hasStatus = (error: unknown, status: number): error is KubeError => error instanceof KubeError && error.status === status;
