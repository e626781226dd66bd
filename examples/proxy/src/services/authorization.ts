import type { AppContext, RunningApp } from "@weft/example-apps";
import { startService } from "./http-service.ts";

/** Who knows the password may pass, and the service behind is told who that is. */
export function startAuthorization(context: AppContext): Promise<RunningApp> {
	return startService(context, ({ headers }, _, response) => {
		const isKnown = headers["authorization"] === "Bearer open-sesame";
		if (isKnown) response.writeHead(200, { "x-current-user": "alice" }).end();
		else response.writeHead(403, { "content-type": "text/plain" }).end("the password, please\n");
	});
}
