import { envoyHeaderBit } from "../codec/header-block.ts";
import { known } from "../codec/known-names.ts";
import { httpDate } from "../codec/status-lines.ts";
import { appendVia } from "./request-prologue.ts";
import type { HttpStream } from "./stream.ts";

/** What a response says of this proxy. */
export function setOwnHeaders(stream: HttpStream): void {
	const { info, manager, request, response } = stream;
	const { config } = manager;
	if (config.serverHeader === "overwrite") response.replaceKnown(known.server, "server", manager.serverName);
	else if (config.serverHeader === "appendIfAbsent" && !response.has("server")) response.appendOwn("server", manager.serverName);
	if (!response.hasKnown(known.date) && !response.has("date")) response.appendOwn("date", httpDate(info.startTimeMs));
	const wantsId = config.alwaysSetRequestIdInResponse || ((request.present & envoyHeaderBit) !== 0 && request.has("x-envoy-force-trace"));
	const id = wantsId ? request.get("x-request-id") : undefined;
	if (id && !response.has("x-request-id")) response.set("x-request-id", id);
	if (config.via !== "") appendVia(response, config.via);
}
