import type { StartApp } from "@weft/example-apps";
import { startAuthorization } from "./authorization.ts";
import { startCollector } from "./collector.ts";
import { startControlPlane } from "./control-plane.ts";
import { startRecorder } from "./recorder.ts";
import { startWebsocketEcho } from "./websocket-echo.ts";

/** What the examples need beside `examples/apps`. */
export const services: ReadonlyMap<string, StartApp> = new Map<string, StartApp>([
	["authorization", startAuthorization],
	["collector", startCollector],
	["control-plane", startControlPlane],
	["recorder", startRecorder],
	["websocket-echo", startWebsocketEcho],
]);
