import { connect } from "node:net";
import { probeHttp, type ProbeAnswer, type ProbeCall, type ProbeTarget } from "./http-probe.ts";
import type { ProbeAction, Prober } from "./probers.ts";

/** What a probe without a timeout of its own may take: as long as a pod may take to end. */
const longestMs = 600_000;

export const noBody: Buffer = Buffer.alloc(0);

/** Runs the original probe. 500 where the application could not be asked; the reason is for the log. */
export async function runProbe(prober: Prober, target: ProbeTarget, call: ProbeCall): Promise<ProbeAnswer & { readonly error?: Error }> {
	const timeout = AbortSignal.timeout(prober.timeoutMs || longestMs);
	const signal = AbortSignal.any([call.signal, timeout]);
	try {
		return await run(prober, target, { ...call, signal });
	} catch (error) {
		const reason = timeout.aborted ? new Error(`no answer within ${prober.timeoutMs || longestMs} ms`) : (error as Error);
		return { status: 500, body: noBody, error: reason };
	}
}

async function run(probe: ProbeAction, target: ProbeTarget, call: ProbeCall): Promise<ProbeAnswer> {
	switch (probe.kind) {
		case "http":
			return probeHttp(probe, target, call);
		case "tcp":
			await probeTcp(probe.port, target, call.signal);
			return { status: 200, body: noBody };
		case "grpc": {
			const { probeGrpc } = await import("./grpc-probe.ts");
			await probeGrpc({ target, port: probe.port, service: probe.service, userAgent: userAgentOf(call.rawHeaders), signal: call.signal });
			return { status: 200, body: noBody };
		}
	}
}

function probeTcp(port: number, { address, localAddress }: ProbeTarget, signal: AbortSignal): Promise<void> {
	return new Promise((resolve, reject) => {
		const socket = connect({ host: address, port, ...(localAddress !== undefined && { localAddress }) });
		const abort = () => socket.destroy(new Error("aborted"));
		signal.addEventListener("abort", abort, { once: true });
		socket.once("connect", () => {
			socket.destroy();
			resolve();
		});
		socket.once("error", reject);
		socket.once("close", () => signal.removeEventListener("abort", abort));
	});
}

function userAgentOf(raw: readonly string[]): string | undefined {
	const at = raw.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "user-agent");
	return at < 0 ? undefined : raw[at + 1];
}
