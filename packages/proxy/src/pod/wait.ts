import { parseArgs } from "node:util";
import { type Clock, systemClock } from "@weft/runtime";

const help = `weft-proxy wait: wait until the proxy is ready

  --timeoutSeconds N         (default 60)
  --requestTimeoutMillis N   (default 500)
  --periodMillis N           (default 500)
  --url URL                  (default http://localhost:15021/healthz/ready)
`;

const options = {
	timeoutSeconds: { type: "string" },
	requestTimeoutMillis: { type: "string" },
	periodMillis: { type: "string" },
	url: { type: "string" },
	help: { type: "boolean", short: "h" },
} as const;

/** `weft-proxy wait`, as pilot-agent's: the hook that holds the application until its proxy serves. Resolves to the exit code. */
export async function runWait(args: readonly string[], clock: Clock = systemClock): Promise<number> {
	let values: Partial<Record<keyof typeof options, string | boolean>>;
	try {
		values = parseArgs({ args: [...args], options, strict: true }).values;
	} catch (error) {
		process.stderr.write(`weft-proxy wait: ${(error as Error).message}\n`);
		return 2;
	}
	if (values.help === true) {
		process.stdout.write(help);
		return 0;
	}
	const numbers = { timeoutSeconds: 60, requestTimeoutMillis: 500, periodMillis: 500 };
	for (const name of Object.keys(numbers) as (keyof typeof numbers)[]) {
		const text = values[name];
		if (typeof text !== "string") continue;
		if (!/^[1-9]\d{0,8}$/.test(text)) {
			process.stderr.write(`weft-proxy wait: --${name}: expected a whole number above 0, got ${text}\n`);
			return 2;
		}
		numbers[name] = Number(text);
	}
	const url = typeof values.url === "string" ? values.url : "http://localhost:15021/healthz/ready";
	const until = clock.monotonicMs() + numbers.timeoutSeconds * 1000;
	let reason = "";
	do {
		reason = await notReady(url, numbers.requestTimeoutMillis);
		if (reason === "") return 0;
		await clock.sleep(numbers.periodMillis);
	} while (clock.monotonicMs() < until);
	process.stderr.write(`weft-proxy wait: timeout waiting for the proxy to become ready after ${numbers.timeoutSeconds} s: ${reason}\n`);
	return 1;
}

/** "" : ready. */
async function notReady(url: string, timeoutMs: number): Promise<string> {
	try {
		const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
		await response.body?.cancel();
		return response.status === 200 ? "" : `${url} answers ${response.status}`;
	} catch (error) {
		const { cause, message } = error as Error;
		return `${url}: ${cause instanceof Error ? cause.message : message}`;
	}
}
