import { lookup as lookupName } from "node:dns/promises";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { BlockList, isIP, type LookupFunction } from "node:net";
import type { JwksTransport } from "@weft/pilot";

/** A key set is a few kilobytes. */
const bodyBytesMax = 1 << 20;
const redirectsMax = 3;

/** What no issuer of tokens can have: the network's own addresses, among them the metadata services of clouds. */
const never = new BlockList();
never.addSubnet("0.0.0.0", 8);
never.addSubnet("169.254.0.0", 16);
never.addSubnet("224.0.0.0", 3);
never.addAddress("::", "ipv6");
never.addSubnet("fe80::", 10, "ipv6");
never.addSubnet("ff00::", 8, "ipv6");
never.addAddress("fd00:ec2::254", "ipv6");

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8);
loopback.addAddress("::1", "ipv6");

/** Names resolve to these; `node:dns` outside of tests. */
export type ResolveName = (name: string) => Promise<readonly Address[]>;

interface Address {
	readonly address: string;
	readonly family: number;
}

export interface JwksTransportOptions {
	/** Default: `node:dns`. */
	readonly resolve?: ResolveName;
	/** Instead of the well-known authorities. */
	readonly caPem?: string;
	/** Networks that are not fetched from either. */
	readonly blocked?: BlockList;
}

interface Dialling {
	readonly check: (host: string) => Promise<Address>;
	readonly caPem: string | undefined;
}

const resolveByDns: ResolveName = (name) => lookupName(name, { all: true });

/**
 * Fetches what a policy names, without becoming a way into networks that its author cannot reach: addresses of the link are never
 * dialled, loopback only on one's own machine and where it is written out, the very address that was checked is the one that is dialled (a second look-up could
 * give another), redirects stay with the origin, and size and time have limits.
 */
export function createJwksTransport(place: "machine" | "cluster", options: JwksTransportOptions = {}): JwksTransport {
	const dialling: Dialling = { check: (host) => checkedAddress(host, place === "machine", options), caPem: options.caPem };
	return async (text, timeoutMs, signal) => {
		const timeout = AbortSignal.timeout(timeoutMs);
		try {
			return await follow(new URL(text), dialling, AbortSignal.any([signal, timeout]));
		} catch (error) {
			if (timeout.aborted && !signal.aborted) throw new Error(`no answer within ${timeoutMs} ms`, { cause: error });
			throw error;
		}
	};
}

async function follow(first: URL, dialling: Dialling, signal: AbortSignal): Promise<string> {
	let url = first;
	for (let redirects = 0; ; redirects++) {
		const response = await get(url, dialling, signal);
		const { statusCode = 0, headers } = response;
		if (statusCode === 200) return await readBody(response);
		response.destroy();
		const isRedirect = statusCode >= 301 && statusCode <= 308 && headers.location !== undefined;
		if (!isRedirect) throw new Error(`status ${statusCode}`);
		const next = new URL(headers.location ?? "", url);
		if (next.origin !== url.origin) throw new Error(`redirected to another origin, ${next.origin}`);
		if (redirects >= redirectsMax) throw new Error(`redirected more than ${redirectsMax} times`);
		url = next;
	}
}

async function get(url: URL, { check, caPem }: Dialling, signal: AbortSignal): Promise<IncomingMessage> {
	if (url.protocol !== "https:" && url.protocol !== "http:") throw new Error(`${url.protocol} is not fetched`);
	const { address, family } = await check(url.hostname.replace(/^\[(.*)\]$/, "$1"));
	const lookup: LookupFunction = (_name, options, callback) => {
		if (options.all) callback(null, [{ address, family }]);
		else callback(null, address, family);
	};
	const request = url.protocol === "https:" ? requestHttps : requestHttp;
	return new Promise((accept, reject) => {
		const sent = request(url, { lookup, signal, agent: false, ca: caPem, headers: { accept: "application/json" } }, accept);
		sent.on("error", reject);
		sent.end();
	});
}

async function checkedAddress(host: string, mayBeLoopback: boolean, { resolve = resolveByDns, blocked }: JwksTransportOptions): Promise<Address> {
	const written = mayBeLoopback && (isIP(host) !== 0 || host === "localhost");
	const found = isIP(host) === 0 ? await resolve(host) : [{ address: host, family: isIP(host) }];
	const [first] = found;
	if (first === undefined) throw new Error(`${host} has no address`);
	for (const { address, family } of found) {
		const type = family === 6 ? "ipv6" : "ipv4";
		if (never.check(address, type)) throw new Error(`${host} is ${address}, which is not fetched from`);
		if (blocked?.check(address, type)) throw new Error(`${host} is ${address}, of a network that BLOCKED_CIDRS_IN_JWKS_URIS names`);
		if (loopback.check(address, type) && !written)
			throw new Error(`${host} is ${address}: ${mayBeLoopback ? "loopback must be written out" : "loopback is not fetched from"}`);
	}
	return first;
}

async function readBody(response: IncomingMessage): Promise<string> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of response as AsyncIterable<Buffer>) {
		bytes += chunk.length;
		if (bytes > bodyBytesMax) {
			response.destroy();
			throw new Error(`more than ${bodyBytesMax} bytes`);
		}
		chunks.push(chunk);
	}
	return Buffer.concat(chunks).toString("utf8");
}
