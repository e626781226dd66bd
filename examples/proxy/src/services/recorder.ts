import type { AppContext, RunningApp } from "@weft/example-apps";
import { startService } from "./http-service.ts";

const recordsMax = 1_000;

/** Remembers what it was asked; `GET /seen` tells. */
export function startRecorder(context: AppContext): Promise<RunningApp> {
	const seen: object[] = [];
	return startService(context, ({ headers, method, url }, body, response) => {
		if (url !== "/seen" && seen.length < recordsMax) seen.push({ method, url, host: headers.host, body: body.toString() });
		response.writeHead(200, { "content-type": "application/json" }).end(`${JSON.stringify(url === "/seen" ? seen : {})}\n`);
	});
}
