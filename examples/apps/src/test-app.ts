import type { TestContext } from "node:test";
import type { Environment, RunningApp, StartApp } from "./environment.ts";
import { type ClientRequest, type ClientResponse, createHttpClient } from "./http-client.ts";

export type TestApp = RunningApp & {
	readonly url: string;
	readonly lines: readonly string[];
	readonly send: (path: string, request?: Omit<ClientRequest, "url" | "timeoutMs">) => Promise<ClientResponse>;
};

/** Starts an app on a free loopback port for one test, with a client that belongs to it. */
export async function startTestApp(test: TestContext, start: StartApp, env: Environment = {}, args: readonly string[] = []): Promise<TestApp> {
	const lines: string[] = [];
	const app = await start({ env: { HOST: "127.0.0.1", PORT: "0", ...env }, args, log: (line) => lines.push(line) });
	const client = createHttpClient({});
	test.after(async () => {
		client.close();
		await app.close();
	});
	const url = `http://127.0.0.1:${app.ports[0]}`;
	return { ...app, url, lines, send: (path, request = {}) => client.send({ ...request, url: `${url}${path}`, timeoutMs: 5_000 }) };
}

export function jsonOf(response: ClientResponse): unknown {
	return JSON.parse(response.body.toString("utf8"));
}
