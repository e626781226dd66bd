import { type AppContext, instanceName, type RunningApp, textFrom } from "./environment.ts";
import { json, startHttpApp } from "./http-server.ts";

const bodyBytesMax = 16_777_216;

/** Answers every request with what arrived: method, target, headers in wire order, and the body. */
export function startHttpEcho(context: AppContext): Promise<RunningApp> {
	const { env } = context;
	return startHttpApp(context, {
		defaultPort: 8080,
		bodyBytesMax,
		routes: [
			{
				method: "*",
				path: "/*",
				handler: (request) => {
					const headers: [string, string][] = [];
					for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
						headers.push([request.rawHeaders[index] ?? "", request.rawHeaders[index + 1] ?? ""]);
					}
					return json(200, {
						instance: instanceName(env),
						version: textFrom(env, "SERVICE_VERSION", ""),
						method: request.method,
						target: request.target,
						remoteAddress: request.remoteAddress,
						headers,
						body: request.body.toString("utf8"),
					});
				},
			},
		],
	});
}
