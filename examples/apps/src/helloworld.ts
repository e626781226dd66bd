import { type AppContext, instanceName, type RunningApp, textFrom } from "./environment.ts";
import { startHttpApp, text } from "./http-server.ts";

/** The helloworld sample: `/hello` names the version and the instance. */
export function startHelloworld(context: AppContext): Promise<RunningApp> {
	const version = textFrom(context.env, "SERVICE_VERSION", "unknown");
	return startHttpApp(context, {
		defaultPort: 5000,
		routes: [
			{ method: "GET", path: "/hello", handler: () => text(200, `Hello version: ${version}, instance: ${instanceName(context.env)}\n`) },
			{ method: "GET", path: "/health", handler: () => text(200, "Helloworld is healthy\n") },
		],
	});
}
