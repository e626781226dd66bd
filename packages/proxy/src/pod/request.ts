import { request as httpRequest } from "node:http";
import { parseArgs } from "node:util";

const help = `weft-proxy request METHOD PATH: ask the proxy's admin server and print the answer

  --debug-port PORT   (default 15000; 15020 is the agent's own)
`;

const timeoutMs = 30_000;

/** `weft-proxy request`, as pilot-agent's: the native sidecar's hook before it stops is `request --debug-port=15020 POST drain`. */
export async function runRequest(args: readonly string[]): Promise<number> {
	let values: { readonly "debug-port"?: string | undefined; readonly help?: boolean | undefined };
	let positionals: readonly string[];
	try {
		const options = { "debug-port": { type: "string" }, help: { type: "boolean", short: "h" } } as const;
		({ values, positionals } = parseArgs({ args: [...args], options, strict: true, allowPositionals: true }));
	} catch (error) {
		process.stderr.write(`weft-proxy request: ${(error as Error).message}\n`);
		return 2;
	}
	if (values.help === true) {
		process.stdout.write(help);
		return 0;
	}
	const [method, path, ...rest] = positionals;
	const port = Number(values["debug-port"] ?? 15_000);
	if (method === undefined || path === undefined || rest.length > 0 || !Number.isInteger(port) || port < 1 || port > 65_535) {
		process.stderr.write(`weft-proxy request: METHOD and PATH are wanted, and a port from 1 to 65535\n\n${help}`);
		return 2;
	}
	try {
		const { status, body } = await ask(port, method.toUpperCase(), path.startsWith("/") ? path : `/${path}`);
		process.stdout.write(body);
		if (status === 200) return 0;
		process.stderr.write(`weft-proxy request: status ${status}\n`);
	} catch (error) {
		process.stderr.write(`weft-proxy request: 127.0.0.1:${port}: ${(error as Error).message}\n`);
	}
	return 1;
}

function ask(port: number, method: string, path: string): Promise<{ readonly status: number; readonly body: Buffer }> {
	return new Promise((resolve, reject) => {
		const sent = httpRequest({ host: "127.0.0.1", port, method, path, timeout: timeoutMs, agent: false }, (response) => {
			const parts: Buffer[] = [];
			response.on("data", (part: Buffer) => parts.push(part));
			response.on("error", reject);
			response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) }));
		});
		sent.on("timeout", () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
		sent.on("error", reject);
		sent.end();
	});
}
