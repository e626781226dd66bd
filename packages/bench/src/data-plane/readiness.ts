import { createServer, type AddressInfo } from "node:net";
import { get } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:tls";
import { setTimeout as delay } from "node:timers/promises";

const attempts = 200;
const pauseMs = 50;
const requestTimeoutMs = 2_000;

/** Ports that were free a moment ago, for programs that cannot be told to take any. */
export async function freePorts(count: number): Promise<readonly number[]> {
	const servers = await Promise.all(
		Array.from({ length: count }, async () => {
			const server = createServer();
			await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
			return server;
		}),
	);
	const ports = servers.map((server) => (server.address() as AddressInfo).port);
	await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
	return ports;
}

/** Waits, for at most 10 s, until a GET is answered 200 with a body of the wanted length. @throws Error with the last thing seen */
export async function waitForBody(url: string, http2: boolean, bodyBytes: number, hasExited: () => boolean): Promise<void> {
	let seen = "";
	for (let attempt = 0; attempt < attempts; attempt++) {
		seen = await (http2 ? http2BodyLength(url) : bodyLength(url));
		if (seen === `200 ${bodyBytes}`) return;
		if (hasExited()) throw new Error("ended by itself");
		await delay(pauseMs);
	}
	throw new Error(`not ready in time, last answer: ${seen}`);
}

function bodyLength(url: string): Promise<string> {
	return new Promise((resolve) => {
		const request = get(url, { agent: false, timeout: requestTimeoutMs }, (response) => {
			let bytes = 0;
			response.on("data", (chunk: Buffer) => {
				bytes += chunk.length;
			});
			response.once("end", () => resolve(`${response.statusCode ?? 0} ${bytes}`));
			response.once("error", (error) => resolve(error.message));
		});
		request.once("timeout", () => request.destroy(new Error("timeout")));
		request.on("error", (error) => resolve(error.message));
	});
}

function http2BodyLength(url: string): Promise<string> {
	return new Promise((resolve) => {
		const session = connectHttp2(url);
		const finish = (text: string) => {
			session.destroy();
			resolve(text);
		};
		session.on("error", (error) => finish(error.message));
		session.setTimeout(requestTimeoutMs, () => finish("timeout"));
		const stream = session.request({ ":path": "/" });
		let bytes = 0;
		let status = 0;
		stream.on("response", (headers) => (status = headers[":status"] ?? 0));
		stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
		stream.once("end", () => finish(`${status} ${bytes}`));
		stream.once("error", (error) => finish(error.message));
	});
}

/** Whether a TLS port gives no 200 to a client that shows no certificate. */
export function refusesStrangers(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		// The server's own certificate is not what is looked at here.
		const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, timeout: requestTimeoutMs }, () => {
			socket.write("GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
		});
		let answer = "";
		socket.on("data", (chunk) => {
			answer += chunk.toString("latin1").slice(0, 100);
		});
		socket.on("error", () => resolve(true));
		socket.once("timeout", () => socket.destroy());
		socket.once("close", () => resolve(!/^HTTP\/1\.[01] 200 /.test(answer)));
	});
}
