import { setTimeout as delay } from "node:timers/promises";
import { type AppContext, integerFrom, type RunningApp, textFrom } from "./environment.ts";
import { createHttpClient, type HttpClient } from "./http-client.ts";
import { errorText, json, startHttpApp } from "./http-server.ts";

type Tally = { sent: number; readonly byOutcome: Map<string, number> };

const outcomesMax = 100;
const timeoutMs = 10_000;

/**
 * A client: calls TARGET_URL (or the first argument) every INTERVAL_MS and counts the answers by status. Without a target it only
 * waits, as the sleep sample does. `GET /stats` on PORT tells the counts.
 */
export async function startCurlLoop(context: AppContext): Promise<RunningApp> {
	const { env, args } = context;
	const target = args[0] ?? textFrom(env, "TARGET_URL", "");
	const intervalMs = integerFrom(env, "INTERVAL_MS", 1_000);
	const tally: Tally = { sent: 0, byOutcome: new Map() };
	const client = createHttpClient(env);
	const app = await startHttpApp(context, {
		defaultPort: 0,
		routes: [
			{
				method: "GET",
				path: "/stats",
				handler: () => json(200, { target, sent: tally.sent, byOutcome: Object.fromEntries(tally.byOutcome) }),
			},
		],
	});
	const abort = new AbortController();
	const loop = target === "" ? Promise.resolve() : runLoop(context, client, target, intervalMs, tally, abort.signal);
	return {
		...app,
		close: async () => {
			abort.abort();
			await loop;
			await app.close();
			client.close();
		},
	};
}

async function runLoop(context: AppContext, client: HttpClient, url: string, intervalMs: number, tally: Tally, signal: AbortSignal): Promise<void> {
	while (!signal.aborted) {
		tally.sent++;
		const outcome = await callOnce(context, client, url, signal);
		if (tally.byOutcome.has(outcome) || tally.byOutcome.size < outcomesMax) {
			tally.byOutcome.set(outcome, (tally.byOutcome.get(outcome) ?? 0) + 1);
		}
		// An abort ends the wait early; the loop's condition then ends the loop.
		await delay(intervalMs, undefined, { signal }).catch(() => undefined);
	}
}

async function callOnce(context: AppContext, client: HttpClient, url: string, signal: AbortSignal): Promise<string> {
	try {
		const response = await client.send({ url, timeoutMs, signal });
		context.log(`${response.status} ${url} ${response.body.length} bytes`);
		return String(response.status);
	} catch (error) {
		if (!signal.aborted) context.log(errorText(error));
		return "error";
	}
}
