import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { findH2spec, h2specModule } from "../../../../../scripts/peers-find.mjs";
import { http2Defaults } from "../../config/http2-defaults.ts";
import { createTestIdentity } from "../tls/test-identity.ts";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";

const program = findH2spec();
const tlsParams = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: "", curves: "" } as const;

/** Somebody else's reading of RFC 9113 and RFC 7541. */
describe("h2spec", { skip: program === undefined ? `no h2spec here: go install ${h2specModule}, or npm run peers where Go is` : false }, () => {
	let proxy: Standalone;
	let host: Server;
	before(async () => {
		proxy = await startStandalone();
		// Slow enough for its streams to be open all at once.
		host = createServer((incoming, response) => {
			incoming.resume();
			setTimeout(() => response.end("hello"), 20);
		});
		await new Promise<void>((resolve) => host.listen(0, "127.0.0.1", resolve));
		const identity = createTestIdentity("spiffe://test/ns/default/sa/h2spec");
		const tls = {
			params: tlsParams,
			certificates: [{ kind: "inline", ...identity } as const],
			validation: undefined,
			requireClientCertificate: false,
			alpn: ["h2", "http/1.1"],
			disableStatelessResumption: false,
		} as const;
		// On the clear-text port the preface has to be HTTP/2's: with `auto`, another beginning is a request of HTTP/1.
		const http2 = { ...http2Defaults, maxConcurrentStreams: 100 };
		const manager = (codec: "auto" | "http2") => managerOf(tableOf([routeOf("/", forwardTo("c"))]), { codec, http2 });
		await proxy.apply(
			updateOf({
				listeners: [listenerOf("plain", [chainOf([manager("http2")])]), listenerOf("tls", [chainOf([manager("auto")], { tls })])],
				clusters: [clusterOf("c")],
				hosts: [hostsOf("c", [(host.address() as AddressInfo).port])],
			}),
		);
	});
	after(async () => {
		host.close();
		host.closeAllConnections();
		await proxy.close();
	});

	function run(args: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }> {
		return new Promise((resolve, reject) => {
			const child = spawn(program ?? "", ["-h", "127.0.0.1", "-o", "3", ...args], { stdio: ["ignore", "pipe", "pipe"], timeout: 120_000 });
			let output = "";
			for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => (output += bytes.toString()));
			child.on("error", reject);
			child.on("close", (code) => resolve({ code, output }));
		});
	}

	for (const strict of [[], ["-S"]]) {
		for (const [listener, args] of [
			["plain", []],
			["tls", ["-t", "-k"]],
		] as const) {
			it(`finds no fault over ${listener === "tls" ? "TLS" : "clear text"}${strict.length > 0 ? ", strictly" : ""}`, async () => {
				const { code, output } = await run(["-p", String(proxy.port(listener)), ...args, ...strict]);
				assert.match(output, /\d{3} tests, \d{3} passed, 0 skipped, 0 failed/, output.slice(output.indexOf("Failures:")));
				assert.equal(code, 0);
			});
		}
	}
});
