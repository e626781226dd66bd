import assert from "node:assert/strict";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import { createCertificateAuthority, createFileKeyStore, issueKeyedLeaf } from "@weft/citadel";
import { createLogger, systemClock } from "@weft/runtime";
import type { TestMesh } from "@weft/testkit";

/** What became of one request over a connection of its own. */
export interface Reply {
	/** 0: the connection was closed without an answer. */
	readonly status: number;
	readonly text: string;
}

export interface RequestParts {
	readonly method?: string;
	readonly headers?: Readonly<Record<string, string>>;
	/** Address of loopback that the request comes from. */
	readonly from?: string;
}

/** Somebody with an identity of the mesh and no sidecar: straight to where a server's sidecar listens. */
export interface Caller {
	get(address: string, path: string, parts?: RequestParts): Promise<Reply>;
	/** Sends bytes to a TCP server; what came back. */
	send(address: string, text: string): Promise<string>;
}

/** Signed by the mesh's own authority. */
export async function createCaller(mesh: TestMesh, namespace: string, serviceAccount: string): Promise<Caller> {
	const authority = await createCertificateAuthority({ store: createFileKeyStore(mesh.paths.ca), clock: systemClock, logger: createLogger({ level: "none" }) });
	const leaf = await issueKeyedLeaf(authority, { identity: { trustDomain: "cluster.local", namespace, serviceAccount }, ttlMs: 3_600_000 });
	assert.ok(leaf.ok);
	const { privateKeyPem: key, chainPem } = leaf.value;
	const open = (protocol: string) => (address: string, from?: string) => {
		const [host = "", port = ""] = address.split(":");
		const socket = connectPlain({ host, port: Number(port), ...(from === undefined ? {} : { localAddress: from }) });
		return connect({ socket, key, cert: chainPem.join("\n"), rejectUnauthorized: false, ALPNProtocols: [protocol] });
	};
	return callerOf(open("istio-http/1.1"), open("istio"));
}

/** Without any identity, in plain text. */
export const stranger: Caller = callerOf(openPlain, openPlain);

function openPlain(address: string, from?: string) {
	const [host = "", port = ""] = address.split(":");
	return connectPlain({ host, port: Number(port), ...(from === undefined ? {} : { localAddress: from }) });
}

type Open = (address: string, from?: string) => ReturnType<typeof openPlain>;

const timeoutMs = 5_000;

function callerOf(openHttp: Open, openTcp: Open): Caller {
	const exchange = (socket: ReturnType<Open>, text: string, isDone: (received: string) => boolean): Promise<string> =>
		new Promise((resolve, reject) => {
			let received = "";
			let failure: Error | undefined;
			socket.setTimeout(timeoutMs, () => socket.destroy((failure = new Error(`neither an answer nor an end; so far: ${received}`))));
			socket.on("data", (bytes: Buffer) => {
				received += bytes.toString();
				if (isDone(received)) socket.end();
			});
			// A refusal may be a reset.
			socket.on("error", () => undefined);
			socket.on("close", () => (failure === undefined ? resolve(received) : reject(failure)));
			socket.write(text);
		});
	return {
		async get(address, path, { method = "GET", headers = {}, from } = {}) {
			const lines = [
				`${method} ${path} HTTP/1.1`,
				...Object.entries({ host: "server", ...headers }).map(([name, value]) => `${name}: ${value}`),
				"connection: close",
			];
			const text = await exchange(openHttp(address, from), `${lines.join("\r\n")}\r\n\r\n`, () => false);
			return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), text };
		},
		send: (address, text) => exchange(openTcp(address), text, (received) => received.length >= text.length),
	};
}
