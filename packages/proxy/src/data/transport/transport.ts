import type { Transport, TransportHooks, TransportKind } from "./connection.ts";
import { createNetTransport } from "./net-transport.ts";
import { loadRawBindings, type RawBindings } from "./raw-bindings.ts";
import { createRawTransport } from "./raw-transport.ts";
import { loadRingCalls } from "./ring/ring-calls.ts";
import { RingLoop } from "./ring/ring-loop.ts";

const selfTestTimeoutMs = 2000;

/** What connections are made of: `WEFT_TRANSPORT=raw` keeps from io_uring, `WEFT_TRANSPORT=net` to public sockets. */
export function transportKind(variables: NodeJS.ProcessEnv): TransportKind {
	const wanted = variables["WEFT_TRANSPORT"];
	return wanted === "net" || wanted === "raw" ? wanted : "auto";
}

/** io_uring where the system has it and raw handles where this Node's behave as expected; else the public sockets. */
export async function createTransport(wanted: TransportKind, hooks: TransportHooks): Promise<Transport> {
	const bindings = wanted === "net" ? undefined : loadRawBindings();
	if (bindings === undefined) return createNetTransport(hooks);
	const ring = wanted === "raw" ? undefined : await openRing(bindings);
	if (ring !== undefined && (await passesSelfTest(bindings, ring))) return createRawTransport(bindings, hooks, ring);
	ring?.close();
	if (await passesSelfTest(bindings)) return createRawTransport(bindings, hooks);
	return createNetTransport(hooks);
}

/** undefined: the system has none, or none for us. */
export async function openRing(bindings: RawBindings): Promise<RingLoop | undefined> {
	const calls = await loadRingCalls();
	return calls && RingLoop.open(calls, bindings);
}

/** One round trip over loopback on raw handles, with an end of file both ways. */
export async function passesSelfTest(bindings: RawBindings, ring?: RingLoop): Promise<boolean> {
	let isFailed = false;
	const hooks: TransportHooks = {
		afterEvent() {},
		beforeClose() {},
		onHandlerError() {
			isFailed = true;
		},
	};
	try {
		const transport = createRawTransport(bindings, hooks, ring);
		const answer = await withTimeout(exchange(transport), selfTestTimeoutMs);
		return !isFailed && answer === "ping-pong";
	} catch {
		return false;
	}
}

async function exchange(transport: Transport): Promise<string> {
	const { promise, resolve, reject } = Promise.withResolvers<string>();
	const server = await transport.listen({ address: "127.0.0.1", port: 0, backlog: 1, reusePort: false }, (connection) => {
		connection.handler = {
			onData: (bytes, start, end) => void connection.write(Buffer.from(`${bytes.latin1Slice(start, end)}-pong`)),
			onEnd: () => connection.end(),
			onBlocked() {},
			onDrain() {},
			onClose() {},
		};
		connection.resume();
	});
	transport.connect({ address: { kind: "ip", address: "127.0.0.1", port: server.port }, bindAddress: "", keepaliveSeconds: undefined }, (result) => {
		if (result instanceof Error) return reject(result);
		let text = "";
		result.handler = {
			onData(bytes, start, end) {
				text += bytes.latin1Slice(start, end);
				result.end();
			},
			onEnd() {
				result.destroy();
			},
			onBlocked() {},
			onDrain() {},
			onClose: (error) => (error === undefined ? resolve(text) : reject(error)),
		};
		result.resume();
		result.write(Buffer.from("ping"));
	});
	return promise.finally(() => server.close());
}

function withTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
	const { promise: late, reject } = Promise.withResolvers<T>();
	const timer = setTimeout(() => reject(new Error("timeout")), timeoutMs);
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
