import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request as plainRequest } from "node:http";
import type { ProbeAction } from "./probers.ts";

export interface ProbeTarget {
	/** Where the application is reached: the pod's address. */
	readonly address: string;
	/** Captured traffic never comes from it, so the probe goes straight to the application; undefined: nothing is captured on the way. */
	readonly localAddress: string | undefined;
}

export interface ProbeCall {
	/** Of the kubelet's request, `name, value, …` as received: they carry the probe's own headers. */
	readonly rawHeaders: readonly string[];
	/** The agent's own port, which the kubelet put into `host`. */
	readonly statusPort: number;
	readonly signal: AbortSignal;
}

export interface ProbeAnswer {
	readonly status: number;
	readonly body: Buffer;
}

const redirectsMax = 10;
const bodyBytesMax = 10 * 1024;
/** They belong to the connection from the kubelet; the body has been dropped. */
const dropped: ReadonlySet<string> = new Set(["connection", "keep-alive", "transfer-encoding", "content-length", "host"]);

type HttpProbe = Extract<ProbeAction, { kind: "http" }>;

/**
 * Asks the application as the kubelet would: certificates are not verified, redirects to the same host are followed, one to
 * another host counts as success. https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
 */
export async function probeHttp(probe: HttpProbe, target: ProbeTarget, call: ProbeCall): Promise<ProbeAnswer> {
	const headers = headersOf(call.rawHeaders);
	const host = hostOf(call.rawHeaders, call.statusPort, probe.port);
	let url = new URL(`${probe.isTls ? "https" : "http"}://${bracketed(target.address)}:${probe.port}${probe.path}`);
	for (let redirects = 0; ; redirects++) {
		const response = await get(url, { ...headers, ...(host === undefined ? {} : { host }) }, target.localAddress, call.signal);
		const { statusCode: status = 0 } = response;
		const next = redirectOf(response, url);
		if (next === undefined) return { status: status >= 300 && status < 400 ? 200 : status, body: await readStart(response) };
		response.resume();
		if (next.hostname !== url.hostname) return { status: 200, body: Buffer.alloc(0) };
		if (redirects >= redirectsMax) throw new Error(`stopped after ${redirectsMax} redirects`);
		url = next;
	}
}

function headersOf(raw: readonly string[]): Record<string, string | string[]> {
	const out: Record<string, string | string[]> = Object.create(null);
	for (let i = 0; i + 1 < raw.length; i += 2) {
		const name = raw[i] as string;
		if (dropped.has(name.toLowerCase())) continue;
		const before = out[name];
		out[name] = before === undefined ? (raw[i + 1] as string) : [...(Array.isArray(before) ? before : [before]), raw[i + 1] as string];
	}
	return out;
}

/** The probe's own host where it names one; else the kubelet's, with the application's port for the agent's. */
function hostOf(raw: readonly string[], statusPort: number, port: number): string | undefined {
	const at = raw.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === "host");
	const host = at < 0 ? undefined : raw[at + 1];
	return host?.endsWith(`:${statusPort}`) ? `${host.slice(0, -String(statusPort).length)}${port}` : host;
}

function get(url: URL, headers: Readonly<IncomingHttpHeaders>, localAddress: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
	return new Promise((resolve, reject) => {
		const options = { method: "GET", headers, agent: false as const, ...(localAddress !== undefined && { localAddress }), signal };
		const request: ClientRequest = url.protocol === "https:" ? secureRequest()(url, { ...options, rejectUnauthorized: false }) : plainRequest(url, options);
		request.on("response", resolve);
		request.on("error", reject);
		request.end();
	});
}

/** Loaded when the first HTTPS probe comes: it weighs megabytes, and few pods have one. */
function secureRequest(): typeof import("node:https").request {
	return process.getBuiltinModule("node:https").request;
}

function redirectOf(response: IncomingMessage, from: URL): URL | undefined {
	const { statusCode = 0, headers } = response;
	if (![301, 302, 303, 307, 308].includes(statusCode) || headers.location === undefined) return undefined;
	try {
		return new URL(headers.location, from);
	} catch {
		throw new Error(`redirected to ${JSON.stringify(headers.location)}, which is no address`);
	}
}

/** No more of the body than the kubelet looks at. */
async function readStart(response: IncomingMessage): Promise<Buffer> {
	const parts: Buffer[] = [];
	let length = 0;
	for await (const part of response) {
		parts.push(part as Buffer);
		length += (part as Buffer).length;
		if (length >= bodyBytesMax) break;
	}
	response.destroy();
	return Buffer.concat(parts).subarray(0, bodyBytesMax);
}

export function bracketed(address: string): string {
	return address.includes(":") ? `[${address}]` : address;
}
