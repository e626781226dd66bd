import { BlockList, isIP } from "node:net";
import { type AnyConfig, type Diagnostic, formatDiagnostic, hasErrors, isKindOf, parseDurationMs, type WorkloadEntrySpec } from "@weft/api";
import { decodeValue } from "@weft/galley";
import type { EntryRef } from "./workload-entries.ts";

/** What somebody wants to be registered, and says of it with each heartbeat. */
export interface InstanceRequest {
	/** Name of a Service or ServiceEntry of the namespace, or a host of one. */
	readonly service: string;
	/** Undefined: `SERVICE-ADDRESS`. */
	readonly name: string | undefined;
	/** Without the service's selector, which is added to its labels. */
	readonly spec: WorkloadEntrySpec & { readonly address: string };
	/** Without a heartbeat for so long the instance drains, for as long again and it is removed. */
	readonly ttlMs: number;
	/** Undefined: healthy; else why not. */
	readonly problem: string | undefined;
}

export type DecodedInstance = { readonly ok: true; readonly value: InstanceRequest } | { readonly ok: false; readonly reason: string };

export const ttlMsDefault = 30_000;
export const ttlMsMin = 5_000;
export const ttlMsMax = 600_000;
const problemLengthMax = 1024;
const fields = ["service", "name", "address", "ports", "labels", "network", "locality", "weight", "serviceAccount", "ttl", "healthy", "message"];

/** Whom requests must never be sent to: addresses that mean another machine to everybody (link-local, multicast, none at all). */
const forbidden = new BlockList();
for (const [network, bits] of [
	["0.0.0.0", 8],
	["169.254.0.0", 16],
	["224.0.0.0", 3],
] as const)
	forbidden.addSubnet(network, bits, "ipv4");
forbidden.addSubnet("fe80::", 10, "ipv6");
forbidden.addSubnet("ff00::", 8, "ipv6");
forbidden.addAddress("::", "ipv6");
const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

export interface DecodeInstanceOptions {
	readonly namespace: string;
	/** Where all of a mesh is one machine. */
	readonly allowsLoopback: boolean;
}

/** The body of a registration, JSON. The fields of a WorkloadEntry, and service, name, ttl, healthy and message. Never throws. */
export function decodeInstance(text: string, { namespace, allowsLoopback }: DecodeInstanceOptions): DecodedInstance {
	let body: unknown;
	try {
		body = JSON.parse(text);
	} catch {
		return refuse("the body is no JSON");
	}
	if (typeof body !== "object" || body === null || Array.isArray(body)) return refuse("the body is no JSON object");
	const unknown = Object.keys(body).filter((field) => !fields.includes(field));
	if (unknown.length > 0) return refuse(`there is no field ${unknown[0]}; there are ${fields.join(", ")}`);
	const { service, name, ttl, healthy = true, message, ...entry } = body as Readonly<Record<string, unknown>>;
	if (typeof service !== "string" || service === "") return refuse("service: the name of a Service or ServiceEntry is wanted");
	if (name !== undefined && (typeof name !== "string" || name === "")) return refuse("name: a name is wanted");
	if (typeof healthy !== "boolean") return refuse("healthy: true or false is wanted");
	if (message !== undefined && typeof message !== "string") return refuse("message: a text is wanted");
	const ttlMs = ttl === undefined ? ttlMsDefault : typeof ttl === "string" ? parseDurationMs(ttl) : undefined;
	if (ttlMs === undefined || ttlMs < ttlMsMin || ttlMs > ttlMsMax)
		return refuse(`ttl: a duration from ${ttlMsMin / 1000}s to ${ttlMsMax / 1000}s is wanted, such as 30s`);
	const { address } = entry;
	const problem = typeof address === "string" ? addressProblem(address, allowsLoopback) : "an IP address is wanted";
	if (problem !== undefined || typeof address !== "string") return refuse(`address: ${problem}`);
	const decoded = decodeEntry({ namespace, name: name ?? "instance" }, entry);
	if (typeof decoded === "string") return refuse(decoded);
	const unhealthy = healthy ? undefined : (message ?? "").slice(0, problemLengthMax);
	return { ok: true, value: { service, name, spec: { ...decoded, address }, ttlMs, problem: unhealthy } };
}

const refuse = (reason: string): DecodedInstance => ({ ok: false, reason });

function addressProblem(address: string, allowsLoopback: boolean): string | undefined {
	const family = isIP(address);
	if (family === 0 || address.includes("%")) return "an IP address is wanted";
	const type = family === 4 ? "ipv4" : "ipv6";
	if (forbidden.check(address, type)) return `${address} is nobody's own address`;
	if (!allowsLoopback && loopback.check(address, type)) return `${address} means every machine itself`;
	return undefined;
}

/** The spec, or what is wrong with it, in the words that a WorkloadEntry in a file would get. */
function decodeEntry({ namespace, name }: EntryRef, spec: object): WorkloadEntrySpec | string {
	const into = { objects: [] as AnyConfig[], diagnostics: [] as Diagnostic[] };
	decodeValue({ apiVersion: "networking.istio.io/v1", kind: "WorkloadEntry", metadata: { name, namespace }, spec }, {}, into, 0);
	const [object] = into.objects;
	if (object && isKindOf(object, "WorkloadEntry") && !hasErrors(into.diagnostics)) return object.spec;
	return into.diagnostics
		.filter(({ severity }) => severity === "error")
		.map((diagnostic) => formatDiagnostic(diagnostic))
		.join("; ");
}
