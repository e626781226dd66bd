import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { ConnectionPredicate, Listener } from "../../config/listeners.ts";
import { openClient } from "../http/test-peers.ts";
import { chainOf, listenerOf, type Standalone, startStandalone, updateOf } from "../worker/standalone.ts";
import { compileInspectors } from "./inspectors.ts";

const port = (start: number): ConnectionPredicate => ({ kind: "destinationPort", start, end: start + 1 });

describe("inspectors", () => {
	const inspect = { inspectTls: true, inspectHttp: true };
	const cases: readonly (readonly [string, Partial<Listener>, boolean, number, string])[] = [
		["look at everything unless told otherwise", inspect, false, 80, "tls http"],
		["leave alone the ports they are disabled for", { ...inspect, tlsInspectorDisabled: port(80), httpInspectorDisabled: port(80) }, false, 80, ""],
		["end a port range before its end", { ...inspect, tlsInspectorDisabled: port(80) }, false, 81, "tls http"],
		["are disabled each by itself", { ...inspect, httpInspectorDisabled: { kind: "or", rules: [port(79), port(80)] } }, false, 80, "tls"],
		["may be disabled for all but a port", { ...inspect, tlsInspectorDisabled: { kind: "not", rule: port(80) } }, false, 80, "tls http"],
		["need all of several conditions", { ...inspect, tlsInspectorDisabled: { kind: "and", rules: [{ kind: "any" }, port(81)] } }, false, 80, "tls http"],
		["look for TLS where a chain speaks it", {}, true, 80, "tls"],
		["look for nothing by themselves", {}, false, 80, ""],
	];
	for (const [name, parts, hasTls, destinationPort, expected] of cases) {
		it(name, () => {
			const { tls, http } = compileInspectors(listenerOf("l", [], parts), hasTls)(destinationPort);
			assert.equal([...(tls ? ["tls"] : []), ...(http ? ["http"] : [])].join(" "), expected);
		});
	}
});

describe("a protocol whose server speaks first", () => {
	let proxy: Standalone;
	before(async () => {
		proxy = await startStandalone();
	});
	after(() => proxy.close());

	it("does not wait for the client where inspection is disabled for its port", async () => {
		const inspected = { inspectTls: true, inspectHttp: true, listenerFiltersTimeoutMs: 0 };
		const disabled = { tlsInspectorDisabled: { kind: "any" }, httpInspectorDisabled: { kind: "any" } } as const;
		const chain = chainOf([{ kind: "directResponse", body: Buffer.from("220 ready\r\n") }]);
		await proxy.apply(
			updateOf({
				listeners: [listenerOf("waits", [chain], inspected), listenerOf("speaks", [chain], { ...inspected, ...disabled })],
			}),
		);
		const waiting = await openClient(proxy.port("waits"));
		const served = await openClient(proxy.port("speaks"));
		assert.equal(await served.until((text) => text.endsWith("\n")), "220 ready\r\n");
		assert.equal(waiting.text, "");
		waiting.send("HELO there, this is no HTTP\r\n");
		assert.equal(await waiting.until((text) => text.endsWith("\n")), "220 ready\r\n");
		for (const { socket } of [waiting, served]) socket.destroy();
	});
});
