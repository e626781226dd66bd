import type { ServerResponse } from "node:http";
import type { Diagnostic, MeshConfig } from "@weft/api";
import type { RootRotation } from "@weft/citadel";
import type { Store } from "@weft/galley";
import type { Discovery } from "@weft/pilot";
import type { Clock, Logger } from "@weft/runtime";
import type { Registry } from "prom-client";
import type { BindAddress } from "./options.ts";

/** What the control plane's HTTP pages and its API work on. */
export interface HttpContext {
	readonly http: BindAddress;
	/** With it, `/api/v1` changes the files for callers that know this token. */
	readonly apiToken?: string;
	/** Where the API writes. */
	readonly apiDirectory?: string;
	readonly clusterId: string;
	readonly meshConfig: () => MeshConfig;
	readonly store: Store;
	readonly discovery: Discovery;
	/** Where this control plane has an authority of its own. */
	readonly rotation?: RootRotation;
	readonly registry: Registry;
	/** Reads the watched directory now; resolves when the store holds what it says. */
	readonly rescan: () => Promise<void>;
	readonly diagnostics: () => readonly Diagnostic[];
	/** What is still missing until proxies and the API server can rely on this replica; empty: ready. */
	readonly waitingFor: () => readonly string[];
	/** May whoever has this bearer token look at `/debug`? Callers on loopback may, as in istiod. */
	readonly mayDebug: (token: string) => Promise<boolean>;
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
