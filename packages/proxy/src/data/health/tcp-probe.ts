import type { ProbeResult, TcpProbe } from "../../config/health-check.ts";
import type { Connection } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import { buildProxyHeader } from "../upstream/proxy-protocol-header.ts";
import { isInOrder } from "./payload.ts";
import type { ProbeTarget } from "./prober.ts";

/** What is kept of an answer that does not match yet. */
const answerBytesMax = 64 * 1024;

/** Connects, says its word, and reads until the expected answer is there. Without one a connection is enough. */
export function probeTcp({ cluster, entry, check }: ProbeTarget, probe: TcpProbe, onResult: (result: ProbeResult) => void): void {
	const { context } = cluster;
	let connection: Connection | undefined;
	let isDone = false;
	let giveUp = () => {};
	const timer = new Timer(context.wheel, () => finish({ kind: "network", timeout: true, detail: "timeout" }));
	const finish = (result: ProbeResult) => {
		if (isDone) return;
		isDone = true;
		timer.disarm();
		giveUp();
		connection?.destroy();
		onResult(result);
	};
	timer.arm(Math.max(1, check.timeoutMs));
	giveUp = cluster.transports.choose(entry, "", check.alpn).connect(entry, (result) => {
		if (isDone) {
			if (!(result instanceof Error)) result.destroy();
			return;
		}
		if (result instanceof Error) return finish({ kind: "network", timeout: false, detail: result.message });
		connection = result;
		converse(result, probe, finish);
	});
}

function converse(connection: Connection, probe: TcpProbe, finish: (result: ProbeResult) => void): void {
	let received = Buffer.alloc(0);
	const good: ProbeResult = { kind: "good", degraded: false };
	connection.handler = {
		onData(bytes, start, end) {
			received = Buffer.concat([received, bytes.subarray(start, end)]);
			if (isInOrder(received, probe.receive)) finish(good);
			else if (received.length > answerBytesMax) finish({ kind: "network", timeout: false, detail: "another answer than the expected one" });
		},
		onEnd: () => finish({ kind: "network", timeout: false, detail: "closed before the answer" }),
		onBlocked() {},
		onDrain() {},
		onClose: (error) => finish({ kind: "network", timeout: false, detail: error?.message ?? "closed before the answer" }),
	};
	const header = probe.proxyProtocol === undefined ? undefined : buildProxyHeader(probe.proxyProtocol, undefined);
	if (header !== undefined) connection.write(header);
	if (probe.send.length > 0) connection.write(Buffer.from(probe.send));
	if (probe.receive.length === 0) finish(good);
	else connection.resume();
}
