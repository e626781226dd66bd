import type { ServerResponse } from "node:http";
import type { Clock, Logger } from "@weft/runtime";
import type { Registry } from "prom-client";
import type { DebugContext } from "./debug/context.ts";
import type { BindAddress } from "./options.ts";

/** What the control plane's HTTP pages and its API work on. */
export interface HttpContext extends DebugContext {
	readonly http: BindAddress;
	/** With it, `/api/v1` changes the files for callers that know this token. */
	readonly apiToken?: string;
	/** Where the API writes. */
	readonly apiDirectory?: string;
	readonly registry: Registry;
	/** Reads the watched directory now; resolves when the store holds what it says. */
	readonly rescan: () => Promise<void>;
	/** What is still missing until proxies and the API server can rely on this replica; empty: ready. */
	readonly waitingFor: () => readonly string[];
	/** Namespace of whoever has this bearer token, for `/debug`; undefined: it is nobody's. Callers on loopback need none, as at istiod. */
	readonly namespaceOf: (token: string) => Promise<string | undefined>;
	/** Then there are no debug pages here. */
	readonly hidesDebug?: boolean;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** As istiod prints it, so that tools which parse the control plane's version go on working. */
export const versionText = "1.30.3-weft-0.1.0-Clean";

export function sendText(response: ServerResponse, status: number, text: string): void {
	response.writeHead(status, { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
	response.end(text);
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
	response.writeHead(status, { "content-type": "application/json", "x-content-type-options": "nosniff" });
	response.end(`${JSON.stringify(value, null, 2)}\n`);
}

/** 200 when the control plane can be relied on; else 503 and what is missing. */
export function sendReadiness(response: ServerResponse, waitingFor: readonly string[]): void {
	if (waitingFor.length === 0) sendText(response, 200, "ready\n");
	else sendText(response, 503, `not ready: waiting for ${waitingFor.join(", ")}\n`);
}
