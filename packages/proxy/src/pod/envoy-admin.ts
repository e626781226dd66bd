import { request } from "node:http";
import { text } from "node:stream/consumers";

const timeoutMs = 10_000;

/** What a pod asks of a foreign Envoy, by its admin server. https://www.envoyproxy.io/docs/envoy/latest/operations/admin */
export interface EnvoyAdmin {
	/** Undefined: it serves what the control plane has sent; else why not. */
	notReady(): Promise<string | undefined>;
	/** Prometheus text. Rejects where Envoy does not answer. */
	metrics(query: URLSearchParams): Promise<string>;
	/** Connections are closed as they answer; listeners stay open. Says nothing where Envoy is gone already. */
	drain(inboundOnly: boolean): Promise<void>;
	/** Of clients, but for those of the pod's own probes and of the admin server; 0 where Envoy is gone. */
	activeConnections(): Promise<number>;
}

export function envoyAdmin(port: number): EnvoyAdmin {
	return {
		async notReady() {
			try {
				const { status, body } = await ask(port, "GET", "/ready");
				return status === 200 ? undefined : body.trim();
			} catch (error) {
				return `Envoy does not answer: ${(error as Error).message}`;
			}
		},
		async metrics(query) {
			const filter = query.toString();
			const { status, body } = await ask(port, "GET", `/stats/prometheus${filter === "" ? "" : `?${filter}`}`);
			if (status !== 200) throw new Error(`Envoy answered its statistics with ${status}`);
			return body;
		},
		async drain(inboundOnly) {
			const path = `/drain_listeners?${inboundOnly ? "inboundonly&" : ""}graceful&skip_exit`;
			await ask(port, "POST", path).catch(() => undefined);
		},
		async activeConnections() {
			const filter = encodeURIComponent("^listener\\..*downstream_cx_active$");
			const answer = await ask(port, "GET", `/stats?usedonly&filter=${filter}`).catch(() => undefined);
			return answer === undefined ? 0 : countConnections(answer.body);
		},
	};
}

/** `listener.0.0.0.0_15006.downstream_cx_active: 3`, once a listener; those for probes and statistics are no clients'. */
export function countConnections(stats: string): number {
	let total = 0;
	for (const [, listener = "", count] of stats.matchAll(/^listener\.(.*)\.downstream_cx_active: (\d+)$/gm)) {
		if (!/^admin|_15021$|_15090$|worker_\d+$/.test(listener)) total += Number(count);
	}
	return total;
}

function ask(port: number, method: string, path: string): Promise<{ readonly status: number; readonly body: string }> {
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port, method, path, timeout: timeoutMs, agent: false }, (response) => {
			text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
		});
		sent.on("timeout", () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
		sent.on("error", reject);
		sent.end();
	});
}
