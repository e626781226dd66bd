import type { ServerResponse } from "node:http";
import type { Diagnostic } from "@weft/api";
import type { Store } from "@weft/galley";
import type { Discovery } from "@weft/pilot";
import type { Registry } from "prom-client";
import type { ControlPlaneOptions } from "./options.ts";

/** What the control plane's HTTP pages and its API work on. */
export interface HttpContext {
	readonly options: ControlPlaneOptions;
	readonly store: Store;
	readonly discovery: Discovery;
	readonly registry: Registry;
	/** Reads the watched directory now; resolves when the store holds what it says. */
	readonly rescan: () => Promise<void>;
	readonly diagnostics: () => readonly Diagnostic[];
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
