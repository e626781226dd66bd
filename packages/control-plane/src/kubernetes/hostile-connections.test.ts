import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { gzipSync } from "node:zlib";
import { status } from "@grpc/grpc-js";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { requestCertificate, serverName, startTestApi, startTestControlPlane, type TestControlPlane, token } from "./test-control-plane.ts";

// What anybody in the network may send to the control plane's TLS ports, 15012 and 15017: it answers or closes, and serves on.

let api: FakeApiServer;
let plane: TestControlPlane;
let hello: Buffer;

before(async () => {
	api = await startTestApi();
	plane = await startTestControlPlane(api);
	await until("roots are handed out", () => plane.rootsPem() !== "");
	hello = await recordHello();
});
after(async () => {
	await plane.stop();
	api.close();
});

const portOf = (address: string): number => Number(address.split(":").at(-1));
const ports = { "15012": () => portOf(plane.secureAddress), "15017": () => portOf(plane.webhookAddress) } as const;

/** The first bytes of a good client. */
async function recordHello(): Promise<Buffer> {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const client = connectTls({ host: "127.0.0.1", port: (server.address() as AddressInfo).port, servername: serverName, ALPNProtocols: ["h2"] });
	client.on("error", () => undefined);
	const [socket] = (await once(server, "connection")) as [ReturnType<typeof connectTcp>];
	const [bytes] = (await once(socket, "data")) as [Buffer];
	client.destroy();
	socket.destroy();
	server.close();
	return bytes;
}

/** Says this and nothing more; resolves when the connection is over. */
async function say(port: number, bytes: Uint8Array): Promise<void> {
	const socket = connectTcp({ host: "127.0.0.1", port });
	socket.on("error", () => undefined);
	socket.on("data", () => undefined);
	const closed = new Promise((resolve) => socket.once("close", resolve));
	socket.end(bytes);
	await closed;
}

async function assertServes(): Promise<void> {
	const chain = await requestCertificate(plane, token({ ns: "default", sa: "web", pod: "web-1" }));
	assert.ok(Array.isArray(chain), String(chain));
	const socket = connectTls({ host: "127.0.0.1", port: ports["15017"](), servername: serverName, ca: plane.rootsPem() });
	await once(socket, "secureConnect");
	socket.destroy();
	assert.deepEqual(
		plane.log.filter((line) => /internal error|TypeError|RangeError|uncaught/i.test(line)),
		[],
	);
}

/** What a call comes to whose body is these bytes: its gRPC status, or that it was cut off. */
function callWith(path: string, headers: Readonly<Record<string, string>>, body: Uint8Array): Promise<number | "cut off"> {
	const session = connectHttp2(`https://127.0.0.1:${ports["15012"]()}`, { ca: plane.rootsPem(), servername: serverName });
	session.on("error", () => undefined);
	return new Promise<number | "cut off">((resolve) => {
		const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers });
		const look = (fields: IncomingHttpHeaders) => {
			const code = fields["grpc-status"];
			if (code !== undefined) resolve(Number(code));
		};
		stream.on("response", look);
		stream.on("trailers", look);
		stream.on("data", () => undefined);
		stream.on("error", () => undefined);
		stream.on("close", () => resolve("cut off"));
		stream.end(body);
	}).finally(() => session.destroy());
}

describe("sec/e47: connections of nobody", () => {
	for (const [name, port] of Object.entries(ports)) {
		test(`sec/e47: TLS on ${name} that breaks off after any byte`, async () => {
			for (let length = 0; length < hello.length; length += 7) await say(port(), hello.subarray(0, length));
			await assertServes();
		});

		test(`sec/e47: what is no TLS on ${name}`, async () => {
			const broken = Buffer.from(hello);
			broken.fill(0xff, 43);
			const all = [
				broken,
				randomBytes(100_000),
				Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
				Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
				Buffer.alloc(1 << 20),
			];
			for (const bytes of all) await say(port(), bytes);
			await assertServes();
		});

		test(`sec/e47: bytes that are no HTTP/2 inside of TLS on ${name}`, async () => {
			for (const bytes of [randomBytes(50_000), Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.alloc(100_000, 0xff)]) {
				const socket = connectTls({ host: "127.0.0.1", port: port(), servername: serverName, ca: plane.rootsPem(), ALPNProtocols: ["h2", "http/1.1"] });
				socket.on("error", () => undefined);
				socket.on("data", () => undefined);
				await once(socket, "secureConnect");
				const closed = new Promise((resolve) => socket.once("close", resolve));
				socket.end(bytes);
				await closed;
			}
			await assertServes();
		});
	}

	const certificates = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
	const discovery = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
	const framed = (flag: number, length: number, bytes: Uint8Array): Buffer => {
		const head = Buffer.alloc(5);
		head.writeUInt8(flag, 0);
		head.writeUInt32BE(length, 1);
		return Buffer.concat([head, bytes]);
	};
	const cases: Readonly<Record<string, readonly [headers: Readonly<Record<string, string>>, body: () => Buffer]>> = {
		"a message of four gigabytes": [{}, () => framed(0, 0xffff_ffff, Buffer.alloc(1000))],
		"a message that breaks off": [{}, () => framed(0, 1000, Buffer.alloc(10))],
		"a message that is no protobuf": [{}, () => framed(0, 100, Buffer.alloc(100, 0xff))],
		"a compressed message that is none": [{ "grpc-encoding": "gzip" }, () => framed(1, 100, randomBytes(100))],
		"a compressed message that is a thousand times as large": [
			{ "grpc-encoding": "gzip" },
			() => {
				const bomb = gzipSync(Buffer.alloc(128 << 20));
				return framed(1, bomb.length, bomb);
			},
		],
		"a message of an unknown compression": [{ "grpc-encoding": "x" }, () => framed(1, 100, randomBytes(100))],
		"a flag that there is not": [{}, () => framed(9, 1, Buffer.alloc(1))],
		"a token that is nested without end": [
			{ authorization: `Bearer e30.${Buffer.from("[".repeat(4_000)).toString("base64url")}.AAAA` },
			() => framed(0, 0, Buffer.alloc(0)),
		],
	};
	for (const [name, [headers, body]] of Object.entries(cases)) {
		for (const path of [certificates, discovery]) {
			test(`sec/e45, sec/e47: ${name}, to ${path.split("/")[2]}`, async () => {
				const outcome = await callWith(path, headers, body());
				assert.ok(outcome === "cut off" || outcome !== status.OK || path === discovery, String(outcome));
				await assertServes();
			});
		}
	}
});
