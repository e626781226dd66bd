import { isIP } from "node:net";
import { nodeTls } from "../data/tls/node-tls.ts";
import type { Connection, ConnectOptions } from "../data/transport/connection.ts";
import type { GrpcEnvironment } from "./environment.ts";
import type { GrpcTarget, GrpcTls } from "./target.ts";

type Address = ConnectOptions["address"];
/** A name may have many addresses, of which none answers. */
const addressesMax = 8;
const alpn = ["h2"];

/** A connection to the first address that takes one; it does not read yet. Rejects with what went wrong with the last, or when `signal` aborts. */
export async function dial(target: GrpcTarget, environment: GrpcEnvironment, signal: AbortSignal): Promise<Connection> {
	let failure: unknown = new Error("there is no endpoint");
	for await (const address of resolveAddresses(target, environment)) {
		signal.throwIfAborted();
		if (address instanceof Error) {
			failure = address;
			continue;
		}
		const timeout = AbortSignal.timeout(target.connectTimeoutMs);
		try {
			return await connect(target, address, environment, AbortSignal.any([signal, timeout]));
		} catch (error) {
			failure = timeout.aborted ? new Error(`no connection within ${target.connectTimeoutMs} ms`) : error;
		}
	}
	throw failure;
}

/** Names are looked up when their turn comes; an error in place of those that have no address. */
async function* resolveAddresses({ endpoints }: GrpcTarget, { lookup }: GrpcEnvironment): AsyncGenerator<Address | Error> {
	for (const endpoint of endpoints) {
		if (endpoint.kind === "pipe" || isIP(endpoint.address) !== 0) {
			yield endpoint;
			continue;
		}
		try {
			const found = await lookup(endpoint.address);
			for (const { address } of found.slice(0, addressesMax)) yield { kind: "ip", address, port: endpoint.port };
		} catch (error) {
			yield error instanceof Error ? error : new Error(String(error));
		}
	}
}

function connect({ tls }: GrpcTarget, address: Address, environment: GrpcEnvironment, signal: AbortSignal): Promise<Connection> {
	return tls === undefined ? connectPlain(address, environment, signal) : connectTls(tls(), address, environment, signal);
}

function connectPlain(address: Address, { transport }: GrpcEnvironment, signal: AbortSignal): Promise<Connection> {
	const { promise, resolve, reject } = Promise.withResolvers<Connection>();
	const giveUp = transport.connect({ address, bindAddress: "", keepaliveSeconds: undefined }, (result) => {
		signal.removeEventListener("abort", abort);
		if (result instanceof Error) reject(result);
		else resolve(result);
	});
	const abort = () => {
		giveUp();
		reject(signal.reason as Error);
	};
	signal.addEventListener("abort", abort, { once: true });
	return promise;
}

/** Fail closed: the connection exists only once the server is known. */
function connectTls(tls: GrpcTls, address: Address, { transport }: GrpcEnvironment, signal: AbortSignal): Promise<Connection> {
	const { promise, resolve, reject } = Promise.withResolvers<Connection>();
	const socket = nodeTls().connect({
		...(address.kind === "ip" ? { host: address.address, port: address.port } : { path: address.path }),
		...(tls.serverName === "" ? {} : { servername: tls.serverName }),
		secureContext: tls.context,
		ALPNProtocols: alpn,
		// Verified below.
		rejectUnauthorized: false,
		checkServerIdentity: () => undefined,
	});
	const fail = (error: Error) => {
		signal.removeEventListener("abort", abort);
		socket.on("error", () => {});
		socket.destroy();
		reject(error);
	};
	const abort = () => fail(signal.reason as Error);
	const closed = () => fail(new Error("the connection was closed during the TLS handshake"));
	signal.addEventListener("abort", abort, { once: true });
	socket.once("error", fail);
	socket.once("close", closed);
	socket.once("secureConnect", () => {
		const chainError = socket.authorized ? undefined : String(socket.authorizationError ?? "unknown");
		const refusal = tls.verify(socket.getPeerX509Certificate(), chainError);
		if (refusal !== undefined) return fail(new Error(refusal));
		signal.removeEventListener("abort", abort);
		socket.off("error", fail);
		socket.off("close", closed);
		socket.setNoDelay(true);
		resolve(transport.adoptTls(socket));
	});
	return promise;
}
