import { createServer, type AddressInfo } from "node:net";
import { get } from "node:http";
import { get as getTls } from "node:https";
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

/** A request and the answer that shows a proxy ready: 200 with a body of so many bytes, and for gRPC a status of 0 behind it. */
export type Expected = {
	readonly url: string;
	readonly kind: "http1" | "http2" | "grpc";
	readonly bodyBytes: number;
	/** The Host header, where it is not that of the URL. */
	readonly host?: string;
	readonly post?: Buffer;
};

/** Waits, for at most 10 s, until a request is answered as expected. @throws Error with the last thing seen */
export async function waitForAnswer(expected: Expected, hasExited: () => boolean): Promise<void> {
	const wanted = `200 ${expected.bodyBytes}${expected.kind === "grpc" ? " grpc-status 0" : ""}`;
	let seen = "";
	for (let attempt = 0; attempt < attempts; attempt++) {
		seen = await (expected.kind === "http1" ? askHttp1(expected) : askHttp2(expected));
		if (seen === wanted) return;
		if (hasExited()) throw new Error("ended by itself");
		await delay(pauseMs);
	}
	throw new Error(`not ready in time, last answer: ${seen}`);
}

function askHttp1({ url, host }: Expected): Promise<string> {
	return new Promise((resolve) => {
		// The proxy's own certificate is not what is looked at here.
		const options = { agent: false, timeout: requestTimeoutMs, rejectUnauthorized: false, ...(host === undefined ? {} : { headers: { host } }) };
		const request = (url.startsWith("https:") ? getTls : get)(url, options, (response) => {
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

function askHttp2({ url, kind, post }: Expected): Promise<string> {
	return new Promise((resolve) => {
		const session = connectHttp2(url);
		const finish = (text: string) => {
			session.destroy();
			resolve(text);
		};
		session.on("error", (error) => finish(error.message));
		session.setTimeout(requestTimeoutMs, () => finish("timeout"));
		const head = { ":path": new URL(url).pathname };
		const stream = session.request(kind === "grpc" ? { ...head, ":method": "POST", "content-type": "application/grpc", te: "trailers" } : head);
		let bytes = 0;
		let status = 0;
		let grpcStatus = "";
		stream.on("response", (headers) => (status = headers[":status"] ?? 0));
		stream.on("trailers", (trailers) => (grpcStatus = ` grpc-status ${String(trailers["grpc-status"])}`));
		stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
		// Trailers may come after the end of the body.
		stream.once("close", () => finish(`${status} ${bytes}${grpcStatus}`));
		stream.once("error", (error) => finish(error.message));
		stream.end(post);
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
