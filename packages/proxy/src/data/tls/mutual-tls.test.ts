import assert from "node:assert/strict";
import { connect as tcpConnect, createServer } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import { connect as tlsConnect } from "node:tls";
import type { Cluster } from "../../config/clusters.ts";
import type { HttpConnectionManager } from "../../config/http-connection-manager.ts";
import type { FilterChain, Listener } from "../../config/listeners.ts";
import type { TcpProxy } from "../../config/network-filters.ts";
import type { DownstreamTls, Secret, UpstreamTls } from "../../config/tls.ts";
import { answerHeads, bodyOf, get, ok, type RecordingUpstream, startUpstream, statusOf } from "../http/test-peers.ts";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	matchesAll,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";
import { clientPreface } from "../http2/protocol.ts";
import { headers, requestFields, settings } from "../http2/test-frames.ts";
import { createTestAuthority } from "./test-identity.ts";

const params = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: "", curves: "" } as const;
const authority = createTestAuthority();
const client = "spiffe://test/ns/a/sa/client";
const server = "spiffe://test/ns/a/sa/server";

const secretOf = (name: string, uri: string): Secret => ({ name, certificate: authority.issue(uri), validation: undefined });
const rootSecret: Secret = { name: "ROOTCA", certificate: undefined, validation: { caPem: authority.caPem, crlPem: "" } };
const rootTrust = { kind: "secret", name: "ROOTCA" } as const;

const downstream = (certificate: string, parts: Partial<DownstreamTls> = {}): DownstreamTls => ({
	params,
	alpn: ["h2", "http/1.1"],
	certificates: [{ kind: "secret", name: certificate }],
	validation: { trust: rootTrust, sans: [], certificateHashes: [], spkiHashes: [], acceptUntrusted: false },
	requireClientCertificate: true,
	disableStatelessResumption: false,
	...parts,
});

const upstreamTls = (certificate: string, expected: string): UpstreamTls => ({
	params,
	alpn: ["istio-http/1.1", "istio"],
	certificates: [{ kind: "secret", name: certificate }],
	validation: {
		trust: rootTrust,
		sans: [{ type: "uri", match: { kind: "exact", value: expected, ignoreCase: false } }],
		certificateHashes: [],
		spkiHashes: [],
		acceptUntrusted: false,
	},
	sni: "outbound_.80_._.server.test",
	autoSni: false,
	autoSanValidation: false,
});

const tcpProxyTo = (cluster: string): TcpProxy => ({
	kind: "tcpProxy",
	statPrefix: cluster,
	cluster: { kind: "cluster", name: cluster },
	metadataMatch: undefined,
	logsWhenConnected: false,
	logIntervalMs: 0,
	idleTimeoutMs: 3_600_000,
	connectAttemptsMax: 1,
	maxDownstreamConnectionDurationMs: 0,
	hashPolicies: [],
	tunnel: undefined,
	accessLogs: [],
});

for (const transport of ["auto", "raw", "net"] as const) {
	describe(`mutual TLS over the ${transport} transport`, () => {
		let proxy: Standalone;
		let upstream: RecordingUpstream | undefined;
		let names = 0;
		before(async () => {
			proxy = await startStandalone(transport);
			await proxy.apply(updateOf({ secrets: [secretOf("client", client), secretOf("server", server), rootSecret] }));
		});
		after(() => proxy.close());
		afterEach(() => {
			upstream?.close();
			assert.deepEqual(
				proxy.messages.filter((m) => m.kind === "log" && m.level === "error"),
				[],
			);
		});

		async function listen(
			chains: readonly FilterChain[],
			clusters: readonly Cluster[],
			ports: readonly number[],
			parts: Partial<Listener> = {},
		): Promise<number> {
			const name = `l${++names}`;
			await proxy.apply(
				updateOf({ listeners: [listenerOf(name, chains, parts)], clusters, hosts: clusters.map((cluster, i) => hostsOf(cluster.name, [ports[i] ?? 0])) }),
			);
			return proxy.port(name);
		}

		/** Plain client → client proxy → mutual TLS → server proxy → plain upstream. */
		async function hop(tlsOut: UpstreamTls, tlsIn: DownstreamTls, manager: Partial<HttpConnectionManager> = {}): Promise<number> {
			upstream = await startUpstream(answerHeads(() => ok("served")));
			const local = clusterOf(`local${++names}`);
			const chain = chainOf([managerOf(tableOf([routeOf("/", forwardTo(local.name))]), manager)], { tls: tlsIn });
			const inbound = await listen([chain], [local], [upstream.port], { inspectTls: true, direction: "inbound" });
			const remote = clusterOf(`remote${++names}`, { transport: { kind: "tls", tls: tlsOut } });
			return listen([chainOf([managerOf(tableOf([routeOf("/", forwardTo(remote.name))]))])], [remote], [inbound]);
		}

		it("carries requests between verified peers and says who the client is", async () => {
			const details = { subject: true, cert: false, chain: false, dns: true, uri: true };
			const port = await hop(upstreamTls("client", server), downstream("server"), { forwardClientCert: "appendForward", clientCertDetails: details });
			const response = await get(port, "/", "x-forwarded-client-cert: URI=spiffe://test/forged\r\n");
			assert.equal(bodyOf(response), "served");
			const sent = upstream?.received[0] ?? "";
			assert.match(
				sent,
				/x-forwarded-client-cert: By=spiffe:\/\/test\/ns\/a\/sa\/server;Hash=[0-9a-f]{64};Subject="";URI=spiffe:\/\/test\/ns\/a\/sa\/client\r\n/,
			);
			assert.doesNotMatch(sent, /forged/);
		});

		it("refuses an upstream with another identity, and sends it nothing", async () => {
			const port = await hop(upstreamTls("client", "spiffe://test/ns/a/sa/other"), downstream("server"));
			const response = await get(port, "/");
			assert.equal(statusOf(response), 503);
			assert.deepEqual(upstream?.received, []);
		});

		for (const [ours, theirs, status] of [
			["P-384:P-256", "P-256", 200],
			["P-384", "P-256", 503],
		] as const) {
			it(`answers ${status} where we have the groups ${ours} of the key exchange, and the other side ${theirs}`, async () => {
				const withCurves = (curves: string) => ({ params: { ...params, curves } });
				const port = await hop({ ...upstreamTls("client", server), ...withCurves(ours) }, downstream("server", withCurves(theirs)));
				assert.equal(statusOf(await get(port, "/")), status);
			});
		}

		it("checks the identity on every connection to an address, whatever tickets other clusters hold for it", async () => {
			upstream = await startUpstream(answerHeads(() => ok("served", "connection: close\r\n")));
			const local = clusterOf(`local${++names}`, { maxRequestsPerConnection: 1 });
			const inbound = await listen(
				[chainOf([managerOf(tableOf([routeOf("/", forwardTo(local.name))]), { maxRequestsPerConnection: 1 })], { tls: downstream("server") })],
				[local],
				[upstream.port],
			);
			const right = clusterOf(`right${++names}`, { transport: { kind: "tls", tls: upstreamTls("client", server) } });
			const wrong = clusterOf(`wrong${++names}`, { transport: { kind: "tls", tls: upstreamTls("client", "spiffe://test/ns/a/sa/other") } });
			const routes = [routeOf("/right", forwardTo(right.name)), routeOf("/wrong", forwardTo(wrong.name))];
			const port = await listen([chainOf([managerOf(tableOf(routes))])], [right, wrong], [inbound, inbound]);
			for (let round = 0; round < 20; round++) {
				assert.equal(statusOf(await get(port, "/right")), 200);
				assert.equal(statusOf(await get(port, "/wrong")), 503);
			}
			const { stats } = proxy.worker.context;
			const resumed = stats.dump().counters.find((block) => block.prefix === `cluster.${right.name}.` && block.names.includes("ssl.session_reused"));
			assert.ok((resumed?.values[resumed.names.indexOf("ssl.session_reused")] ?? 0) > 0);
		});

		it("resumes no session where that is disabled", async () => {
			upstream = await startUpstream(answerHeads(() => ok("served")));
			const local = clusterOf(`local${++names}`);
			const filters = [managerOf(tableOf([routeOf("/", forwardTo(local.name))]), { maxRequestsPerConnection: 1 })];
			const tls = downstream("server", { disableStatelessResumption: true });
			const inbound = await listen([chainOf(filters, { tls })], [local], [upstream.port]);
			const remote = clusterOf(`remote${++names}`, { transport: { kind: "tls", tls: upstreamTls("client", server) } });
			const port = await listen([chainOf([managerOf(tableOf([routeOf("/", forwardTo(remote.name))]))])], [remote], [inbound]);
			for (let round = 0; round < 5; round++) assert.equal(statusOf(await get(port, "/")), 200);
			const { counters } = proxy.worker.context.stats.dump();
			const block = counters.find(({ prefix, names }) => prefix === `cluster.${remote.name}.` && names.includes("ssl.handshake"));
			const of = (name: string) => block?.values[block.names.indexOf(name)];
			assert.deepEqual([of("ssl.handshake"), of("ssl.session_reused")], [5, 0]);
		});

		it("serves TLS on a port that its inspector leaves alone, where the chain is found without it", async () => {
			upstream = await startUpstream(answerHeads(() => ok("served")));
			const local = clusterOf(`local${++names}`);
			const chain = chainOf([managerOf(tableOf([routeOf("/", forwardTo(local.name))]))], { tls: downstream("server") });
			const inspectors = { inspectTls: true, inspectHttp: true, tlsInspectorDisabled: { kind: "any" }, httpInspectorDisabled: { kind: "any" } } as const;
			const inbound = await listen([chain], [local], [upstream.port], { ...inspectors, direction: "inbound" });
			const remote = clusterOf(`remote${++names}`, { transport: { kind: "tls", tls: upstreamTls("client", server) } });
			const port = await listen([chainOf([managerOf(tableOf([routeOf("/", forwardTo(remote.name))]))])], [remote], [inbound]);
			assert.equal(bodyOf(await get(port, "/")), "served");
		});

		it("refuses a client without a certificate, or with one of another authority", async () => {
			upstream = await startUpstream(answerHeads(() => ok("served")));
			const local = clusterOf(`local${++names}`);
			const port = await listen(
				[chainOf([managerOf(tableOf([routeOf("/", forwardTo(local.name))]))], { tls: downstream("server") })],
				[local],
				[upstream.port],
			);
			const stranger = createTestAuthority().issue(client);
			for (const identity of [{}, { cert: stranger.certChainPem, key: stranger.privateKeyPem }]) {
				const socket = tlsConnect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...identity });
				socket.on("error", () => {});
				socket.write("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
				let text = "";
				socket.on("data", (bytes) => (text += bytes.toString("latin1")));
				await new Promise((resolve) => socket.once("close", resolve));
				assert.equal(text, "");
			}
			assert.deepEqual(upstream.received, []);
		});

		it("fails closed when a secret is missing: nothing goes out in clear text", async () => {
			const plain = await startUpstream(() => {});
			const remote = clusterOf(`remote${++names}`, { transport: { kind: "tls", tls: upstreamTls("nobody", server) } });
			const port = await listen([chainOf([managerOf(tableOf([routeOf("/", forwardTo(remote.name))]))])], [remote], [plain.port]);
			const response = await get(port, "/");
			assert.equal(statusOf(response), 503);
			assert.deepEqual(plain.received, []);
			plain.close();
		});

		it("takes new certificates for new connections and keeps the old connections", async () => {
			const local = clusterOf(`local${++names}`);
			upstream = await startUpstream(answerHeads(() => ok("served")));
			await proxy.apply(updateOf({ secrets: [secretOf("rotating", "spiffe://test/ns/a/sa/before")] }));
			const port = await listen(
				[chainOf([managerOf(tableOf([routeOf("/", forwardTo(local.name))]))], { tls: downstream("rotating", { requireClientCertificate: false }) })],
				[local],
				[upstream.port],
			);
			const open = () =>
				new Promise<{ readonly names: string; readonly ask: () => Promise<string>; readonly end: () => void }>((resolve, reject) => {
					const socket = tlsConnect({ host: "127.0.0.1", port, ca: authority.caPem, checkServerIdentity: () => undefined }, () => {
						const ask = () =>
							new Promise<string>((answered) => {
								socket.once("data", (bytes) => answered(bytes.toString("latin1")));
								socket.write("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
							});
						resolve({ names: socket.getPeerX509Certificate()?.subjectAltName ?? "", ask, end: () => socket.destroy() });
					});
					socket.once("error", reject);
				});
			const first = await open();
			assert.match(first.names, /before/);
			await proxy.apply(updateOf({ secrets: [secretOf("rotating", "spiffe://test/ns/a/sa/after")] }));
			const second = await open();
			assert.match(second.names, /after/);
			assert.equal(statusOf(await first.ask()), 200);
			assert.equal(statusOf(await second.ask()), 200);
			first.end();
			second.end();
		});

		it("serves plain text and TLS on one port, by what the client speaks", async () => {
			upstream = await startUpstream(answerHeads(() => ok("served")));
			const local = clusterOf(`local${++names}`);
			const filters = [managerOf(tableOf([routeOf("/", forwardTo(local.name))]))];
			const port = await listen(
				[
					chainOf(filters, {
						name: "tls",
						match: { ...matchesAll, transportProtocol: "tls", applicationProtocols: ["istio-http/1.1", "istio"] },
						tls: downstream("server"),
					}),
					chainOf(filters, { name: "plain", match: { ...matchesAll, transportProtocol: "raw_buffer" } }),
				],
				[local],
				[upstream.port],
				{ inspectTls: true, inspectHttp: true, direction: "inbound" },
			);
			assert.equal(bodyOf(await get(port, "/")), "served");
			const remote = clusterOf(`remote${++names}`, { transport: { kind: "tls", tls: upstreamTls("client", server) } });
			const outbound = await listen([chainOf([managerOf(tableOf([routeOf("/", forwardTo(remote.name))]))])], [remote], [port]);
			assert.equal(bodyOf(await get(outbound, "/")), "served");
		});

		it("passes TCP through mutual TLS, ends of stream included", async () => {
			const echo = createServer({ allowHalfOpen: true }, (socket) => {
				socket.on("error", () => {});
				socket.pipe(socket);
			});
			await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
			const address = echo.address();
			const local = clusterOf(`local${++names}`);
			const inbound = await listen(
				[chainOf([tcpProxyTo(local.name)], { tls: downstream("server") })],
				[local],
				[typeof address === "object" && address !== null ? address.port : 0],
			);
			const remote = clusterOf(`remote${++names}`, { transport: { kind: "tls", tls: upstreamTls("client", server) } });
			const outbound = await listen([chainOf([tcpProxyTo(remote.name)])], [remote], [inbound]);
			const size = 3 * 1024 * 1024;
			const payload = Buffer.alloc(size, "0123456789");
			const socket = tcpConnect({ host: "127.0.0.1", port: outbound, allowHalfOpen: true });
			const parts: Buffer[] = [];
			socket.on("data", (bytes: Buffer) => parts.push(bytes));
			socket.end(payload);
			await new Promise((resolve, reject) => socket.once("end", resolve).once("error", reject));
			assert.equal(Buffer.concat(parts).equals(payload), true);
			echo.close();
		});

		it("loses nothing that a client sends along with the end of its handshake, while the upstream is being connected", async () => {
			const echo = createServer({ allowHalfOpen: true }, (socket) => void socket.on("error", () => {}).pipe(socket));
			await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
			const address = echo.address();
			const local = clusterOf(`local${++names}`);
			const port = await listen(
				[chainOf([tcpProxyTo(local.name)], { tls: downstream("server") })],
				[local],
				[typeof address === "object" && address !== null ? address.port : 0],
			);
			const own = authority.issue(client);
			let session: Buffer | undefined;
			for (let i = 0; i < 10; i++) {
				const secure = { cert: own.certChainPem, key: own.privateKeyPem, ca: authority.caPem, checkServerIdentity: () => undefined };
				const socket = tlsConnect({ host: "127.0.0.1", port, ...secure, ...(session === undefined ? {} : { session }) });
				socket.once("session", (ticket: Buffer) => (session = ticket));
				// A resumed handshake is over with the client's own last flight: this goes out with it.
				socket.end("all at once");
				let text = "";
				for await (const bytes of socket) text += String(bytes);
				assert.equal(text, "all at once", `connection ${i}`);
			}
			echo.close();
		});

		/** What the hop's client end offers, what its server end takes, and what they are to speak. */
		const agreements: readonly (readonly [
			title: string,
			protocol: Cluster["upstreamProtocol"],
			offers: readonly string[],
			takes: readonly string[],
			codec: HttpConnectionManager["codec"],
			spoken: "http1" | "http2",
		])[] = [
			["HTTP/2 as configured", "http2", ["istio", "h2"], ["h2", "http/1.1"], "auto", "http2"],
			["HTTP/2 as configured, nothing offered: h2 is", "http2", [], ["h2", "http/1.1"], "auto", "http2"],
			["HTTP/2 as configured, to a server that agrees to nothing", "http2", ["istio"], ["h2"], "auto", "http2"],
			["whatever is agreed upon, to a server of both", "alpn", [], ["h2", "http/1.1"], "auto", "http2"],
			["whatever is agreed upon, to a server of HTTP/1", "alpn", [], ["http/1.1"], "auto", "http1"],
			["whatever is agreed upon, to a codec of HTTP/1", "alpn", [], ["h2", "http/1.1"], "http1", "http1"],
			["HTTP/1 as configured, though h2 stands in the list", "http1", ["h2", "http/1.1"], ["h2", "http/1.1"], "auto", "http1"],
			["what the client speaks: HTTP/1", "downstream", [], ["h2", "http/1.1"], "auto", "http1"],
		];
		for (const [title, upstreamProtocol, offers, takes, codec, spoken] of agreements) {
			it(`the hop speaks ${title}`, async () => {
				upstream = await startUpstream(answerHeads(() => ok("served")));
				const local = clusterOf(`local${++names}`);
				const statPrefix = `inbound${names}`;
				const tls = { ...downstream("server"), alpn: takes };
				const chain = chainOf([managerOf(tableOf([routeOf("/", forwardTo(local.name))]), { codec, statPrefix })], { tls });
				const inbound = await listen([chain], [local], [upstream.port]);
				const remote = clusterOf(`remote${++names}`, { upstreamProtocol, transport: { kind: "tls", tls: { ...upstreamTls("client", server), alpn: offers } } });
				const port = await listen([chainOf([managerOf(tableOf([routeOf("/", forwardTo(remote.name))]))])], [remote], [inbound]);
				const bodies = await Promise.all(Array.from({ length: 5 }, async () => bodyOf(await get(port, "/"))));
				assert.deepEqual(
					bodies,
					Array.from({ length: 5 }, () => "served"),
				);
				const counters = proxy.worker.context.stats.dump().counters;
				const count = (prefix: string, name: string) => {
					const block = counters.find((found) => found.prefix === prefix && found.names.includes(name));
					return block?.values[block.names.indexOf(name)];
				};
				const other = spoken === "http2" ? "http1" : "http2";
				assert.equal(count(`http.${statPrefix}.`, `downstream_cx_${other}_total`), 0);
				assert.equal(count(`http.${statPrefix}.`, `downstream_rq_${spoken}_total`), 5);
				assert.equal(count(`cluster.${remote.name}.`, `upstream_cx_${other}_total`), 0);
			});
		}

		it("takes HTTP/2 in clear text where its preface comes in pieces", async () => {
			upstream = await startUpstream(answerHeads(() => ok("served")));
			const local = clusterOf(`local${++names}`);
			const port = await listen([chainOf([managerOf(tableOf([routeOf("/", forwardTo(local.name))]))])], [local], [upstream.port]);
			const socket = tcpConnect({ host: "127.0.0.1", port });
			const bytes = Buffer.concat([clientPreface, settings(), headers(1, requestFields())]);
			for (let i = 0; i < bytes.length; i += 2) {
				socket.write(bytes.subarray(i, i + 2));
				if (i < 30) await new Promise((resolve) => setTimeout(resolve, 2));
			}
			let answer = "";
			await new Promise<void>((resolve) =>
				socket.on("data", (piece) => {
					answer += piece.toString("latin1");
					if (answer.includes("served")) resolve();
				}),
			);
			socket.destroy();
		});
	});
}
