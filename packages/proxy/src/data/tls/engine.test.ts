import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as tcpConnect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { connect as tlsConnect, createSecureContext, createServer as createTlsServer, type SecureContext, type TLSSocket } from "node:tls";
import type { Connection, ConnectionHandler, ListeningSocket, Transport, TransportHooks } from "../transport/connection.ts";
import { createTransport } from "../transport/transport.ts";
import type { ClientSide, Secured, ServerSide, TlsEngine } from "./engine.ts";
import { createNodeEngine } from "./node-engine.ts";
import { createOpenSslEngine } from "./openssl-engine.ts";
import { loadOpenSsl } from "./openssl.ts";
import { createTestAuthority } from "./test-identity.ts";

const handlerErrors: Error[] = [];
const hooks: TransportHooks = { afterEvent() {}, beforeClose() {}, onHandlerError: (error) => void handlerErrors.push(error) };
const authority = createTestAuthority();
const own = authority.issue("spiffe://test/ns/a/sa/server");
const peer = authority.issue("spiffe://test/ns/a/sa/client");
const stranger = createTestAuthority("elsewhere").issue("spiffe://elsewhere/ns/a/sa/client");
type Identity = typeof own;
const ofClient = ({ certChainPem, privateKeyPem }: Identity) => ({ cert: certChainPem, key: privateKeyPem });
const contextOf = (identity: Identity): SecureContext => createSecureContext({ ...ofClient(identity), ca: authority.caPem, sessionIdContext: "test" });

const quiet: ConnectionHandler = { onData() {}, onEnd() {}, onBlocked() {}, onDrain() {}, onClose() {} };
function serve(connection: Connection, parts: Partial<ConnectionHandler>): Connection {
	connection.handler = { ...quiet, ...parts };
	connection.resume();
	return connection;
}

/** Gives back what it reads, and stops reading while that is not taken. */
function echo(connection: Connection): Connection {
	let isEnded = false;
	return serve(connection, {
		onData(bytes, start, end) {
			if (connection.write(Buffer.from(bytes.subarray(start, end))) !== "written") connection.pause();
		},
		onDrain() {
			if (isEnded) connection.end();
			else connection.resume();
		},
		onEnd() {
			isEnded = true;
			if (!connection.isBlocked) connection.end();
		},
	});
}

const pattern = (count: number): Buffer => Buffer.from(Uint8Array.from({ length: count }, (_, i) => (i * 7 + (i >> 8)) & 255));

async function readAll(socket: Socket): Promise<Buffer> {
	const parts: Buffer[] = [];
	for await (const part of socket) parts.push(part as Buffer);
	return Buffer.concat(parts);
}

async function createEngines(): Promise<readonly (readonly [string, Transport, TlsEngine])[]> {
	const raw = await createTransport("auto", hooks);
	const net = await createTransport("net", hooks);
	const openSsl = await loadOpenSsl();
	assert.ok(openSsl !== undefined, "the Node that is shipped has an OpenSSL that can be called");
	return [
		["OpenSSL itself", raw, createOpenSslEngine(openSsl, hooks)],
		["node:tls on raw handles", raw, createNodeEngine(raw)],
		["node:tls on public sockets", net, createNodeEngine(net)],
	];
}

for (const [name, transport, engine] of await createEngines()) {
	describe(`TLS by ${name}`, () => {
		let server: ListeningSocket;
		let side: ServerSide = { context: contextOf(own), requestsCertificate: false, alpn: [] };
		let onAccepted: (result: Secured | Error) => void = () => {};
		before(async () => {
			server = await transport.listen({ address: "127.0.0.1", port: 0, backlog: 64, reusePort: false }, (connection) => {
				connection.handler = {
					...quiet,
					onData(bytes, start, end) {
						connection.pause();
						engine.accept(connection, Buffer.from(bytes.subarray(start, end)), side, (result) => onAccepted(result));
					},
				};
				connection.resume();
			});
		});
		after(() => {
			server.close();
			assert.deepEqual(handlerErrors, []);
		});

		const listen = (parts: Partial<ServerSide>, onSecured: (secured: Secured) => void): Promise<Secured | Error> => {
			side = { context: contextOf(own), requestsCertificate: false, alpn: [], ...parts };
			return new Promise((resolve) => {
				onAccepted = (result) => {
					if (!(result instanceof Error)) onSecured(result);
					resolve(result);
				};
			});
		};
		const client = (options: object = {}): TLSSocket => {
			const socket = tlsConnect({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
			socket.on("error", () => {});
			return socket;
		};

		for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
			for (const bytes of [1, 1_000, 16_384, 100_000, 3_000_000]) {
				it(`brings ${bytes} bytes there and back over ${version}, and the end`, async () => {
					const accepted = listen({}, (secured) => echo(secured.adopt()));
					const socket = client({ minVersion: version, maxVersion: version });
					socket.end(pattern(bytes));
					assert.ok((await readAll(socket)).equals(pattern(bytes)));
					assert.equal(((await accepted) as Secured).version, version);
				});
			}
		}

		it("says what was agreed upon, and who the peer is", async () => {
			const accepted = listen({ requestsCertificate: true, alpn: ["h2", "http/1.1"] }, (secured) => echo(secured.adopt()));
			const socket = client({ ...ofClient(peer), ALPNProtocols: ["http/1.1", "h2"], ecdhCurve: "P-256", servername: "a.test" });
			const secured = (await accepted) as Secured;
			assert.equal(secured.certificate?.subjectAltName, "URI:spiffe://test/ns/a/sa/client");
			assert.equal(secured.localCertificate()?.subjectAltName, "URI:spiffe://test/ns/a/sa/server");
			assert.equal(secured.chainError, undefined);
			assert.deepEqual([secured.alpn, secured.isResumed, secured.cipher], ["h2", false, "TLS_AES_256_GCM_SHA384"]);
			socket.destroy();
		});

		it("leaves it to its caller what to do about a chain that is not trusted, or none at all", async () => {
			for (const [identity, expected] of [
				[ofClient(stranger), "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
				[{}, undefined],
			] as const) {
				const accepted = listen({ requestsCertificate: true }, (secured) => secured.destroy());
				const socket = client(identity);
				const secured = (await accepted) as Secured;
				assert.equal(secured.chainError, expected);
				if (!socket.closed) await once(socket, "close");
			}
		});

		it("goes on without a protocol where none is answered", async () => {
			const accepted = listen({ alpn: [] }, (secured) => echo(secured.adopt()));
			const socket = client({ ALPNProtocols: ["other"] });
			assert.equal(((await accepted) as Secured).alpn, "");
			socket.destroy();
		});

		for (const readBytes of [undefined, 1_000]) {
			it(`hands nothing on while nobody reads, ${readBytes ?? "many"} bytes at a time`, async () => {
				const seen: Buffer[] = [];
				let isPaused = false;
				let early = 0;
				const done = Promise.withResolvers<void>();
				void listen({}, (secured) => {
					const connection = secured.adopt();
					if (readBytes !== undefined) connection.useReadBuffer(Buffer.allocUnsafeSlow(readBytes));
					serve(connection, {
						onData(bytes, start, end) {
							if (isPaused) early++;
							seen.push(Buffer.from(bytes.subarray(start, end)));
							connection.pause();
							isPaused = true;
							const goOn = () => {
								isPaused = false;
								connection.resume();
							};
							setTimeout(goOn, seen.length % 40 === 0 ? 5 : 0);
						},
						onEnd() {
							connection.destroy();
							done.resolve();
						},
					});
				});
				const socket = client();
				// The first of it comes with the end of the handshake.
				socket.write(pattern(150_000).subarray(0, 10));
				for (let at = 10; at < 150_000; at += 5_000) {
					socket.write(pattern(150_000).subarray(at, Math.min(at + 5_000, 150_000)));
					await new Promise((resolve) => setImmediate(resolve));
				}
				socket.end();
				await done.promise;
				assert.ok(Buffer.concat(seen).equals(pattern(150_000)));
				// node:tls hands on whatever it has made clear.
				if (name === "OpenSSL itself") assert.equal(early, 0);
			});
		}

		it("waits for a peer that does not read, and loses nothing", async () => {
			const sent = pattern(20_000_000);
			let most = 0;
			void listen({}, (secured) => {
				const connection = secured.adopt();
				let at = 0;
				const more = () => {
					let status = "written";
					while (at < sent.length && status === "written") {
						status = connection.write(sent.subarray(at, at + 50_000));
						at += 50_000;
						most = Math.max(most, connection.queuedBytes);
					}
					if (at >= sent.length) connection.end();
				};
				serve(connection, { onDrain: more });
				more();
			});
			const socket = client();
			await once(socket, "secureConnect");
			await new Promise((resolve) => setTimeout(resolve, 50));
			assert.ok((await readAll(socket)).equals(sent));
			assert.ok(most <= 200_000, `${most} bytes waited`);
			socket.destroy();
		});

		it("serves many connections at once, each its own bytes", async () => {
			side = { context: contextOf(own), requestsCertificate: false, alpn: [] };
			onAccepted = (result) => void (result instanceof Error ? assert.fail(result) : echo(result.adopt()));
			const answers = Array.from({ length: 30 }, async (_, i) => {
				const socket = client();
				const sent = Buffer.alloc(40_000 + i, i);
				for (let at = 0; at < sent.length; at += 7_000) {
					socket.write(sent.subarray(at, at + 7_000));
					await new Promise((resolve) => setImmediate(resolve));
				}
				socket.end();
				assert.ok((await readAll(socket)).equals(sent));
			});
			await Promise.all(answers);
		});

		// Sessions of node:tls share nothing.
		const itOfSharers = name === "OpenSSL itself" ? it : () => {};
		itOfSharers("broken handshakes and broken records harm nobody else", async () => {
			const good = listen({}, (secured) => echo(secured.adopt()));
			const socket = client();
			await good;
			onAccepted = () => {};
			for (const text of ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "\x16\x03\x01\x40\x00\x01"]) {
				const broken = tcpConnect(server.port, "127.0.0.1");
				broken.on("error", () => {});
				broken.resume().write(Buffer.from(text, "latin1"));
				await Promise.race([once(broken, "close"), new Promise((resolve) => setTimeout(resolve, 50))]);
				broken.destroy();
			}
			const closed = Promise.withResolvers<Error | undefined>();
			const spoilt = Promise.withResolvers<void>();
			void listen({}, (secured) => {
				serve(secured.adopt(), { onClose: closed.resolve });
				spoilt.resolve();
			});
			const carrier = tcpConnect(server.port, "127.0.0.1");
			carrier.on("error", () => {});
			const between = new Duplex({ read() {}, write: (bytes, _encoding, done) => void carrier.write(bytes, done) });
			carrier.on("data", (bytes) => between.push(bytes));
			const second = tlsConnect({ socket: between, rejectUnauthorized: false });
			second.on("error", () => {});
			await spoilt.promise;
			carrier.write(Buffer.from("\x17\x03\x03\x00\x20".padEnd(37, "x"), "latin1"));
			assert.match(String(await closed.promise), /bad record mac|decryption failed/i);
			socket.end("still here");
			assert.equal(String(await readAll(socket)), "still here");
			carrier.destroy();
		});

		describe("to servers", () => {
			const dial = (port: number, parts: Partial<ClientSide> = {}): Promise<Secured | Error> =>
				new Promise((resolve) => {
					const to = { address: { kind: "ip", address: "127.0.0.1", port }, bindAddress: "", keepaliveSeconds: undefined } as const;
					transport.connect(to, (connection) => {
						if (connection instanceof Error) return resolve(connection);
						engine.connect(connection, { context: contextOf(peer), serverName: "", alpn: [], session: undefined, onSession: undefined, ...parts }, resolve);
					});
				});
			const startServer = async (options: object, onSocket: (socket: TLSSocket) => void) => {
				const tls = createTlsServer({ ...ofClient(own), ca: authority.caPem, ...options }, (socket) => {
					socket.on("error", () => {});
					onSocket(socket);
				});
				tls.listen(0, "127.0.0.1");
				await once(tls, "listening");
				return { port: (tls.address() as { port: number }).port, close: () => tls.close() };
			};

			it("shows its certificate, its name and its protocols, and says what it was shown", async () => {
				const seen = Promise.withResolvers<readonly unknown[]>();
				const options = { requestCert: true, rejectUnauthorized: false, ALPNProtocols: ["b", "a"] };
				const tls = await startServer(options, (socket) => {
					seen.resolve([socket.authorized, socket.alpnProtocol, (socket as unknown as { servername: string }).servername]);
				});
				const secured = (await dial(tls.port, { serverName: "name.test", alpn: ["a", "b"] })) as Secured;
				assert.deepEqual(await seen.promise, [true, "b", "name.test"]);
				assert.deepEqual([secured.alpn, secured.chainError, secured.isResumed], ["b", undefined, false]);
				assert.equal(secured.certificate?.subjectAltName, "URI:spiffe://test/ns/a/sa/server");
				secured.destroy();
				tls.close();
			});

			it("tells that the server's chain is not trusted", async () => {
				const tls = await startServer(ofClient(stranger), () => {});
				const secured = (await dial(tls.port)) as Secured;
				assert.equal(secured.chainError, "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
				secured.destroy();
				tls.close();
			});

			for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
				it(`resumes a session by its ticket over ${version}`, async () => {
					const tls = await startServer({ maxVersion: version }, (socket) => socket.on("data", (bytes) => socket.write(bytes)));
					const ticket = Promise.withResolvers<Buffer>();
					const first = (await dial(tls.port, { onSession: ticket.resolve })) as Secured;
					const connection = serve(first.adopt(), {});
					connection.write(Buffer.from("x"));
					const second = (await dial(tls.port, { session: await ticket.promise })) as Secured;
					assert.deepEqual([first.isResumed, second.isResumed], [false, true]);
					connection.destroy();
					second.destroy();
					tls.close();
				});
			}

			it("says why a server refuses, and when one goes away", async () => {
				const tls = await startServer({ requestCert: true, rejectUnauthorized: true, maxVersion: "TLSv1.2" }, () => {});
				const refused = await dial(tls.port, { context: contextOf(stranger) });
				assert.match(String(refused), /alert|closed|ECONNRESET|disconnected/i);
				tls.close();
				const closing = await transport.listen({ address: "127.0.0.1", port: 0, backlog: 1, reusePort: false }, (c) => c.destroy());
				assert.ok((await dial(closing.port)) instanceof Error);
				closing.close();
			});
		});
	});
}
