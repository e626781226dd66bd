import type { HashPolicy } from "../../config/routes.ts";
import { cookieOf } from "../headers/cookies.ts";
import { headerReader, type RequestView } from "../headers/headers-view.ts";
import type { Hash64 } from "../lb/hash.ts";
import { parseIpPort } from "../lb/host-entry.ts";
import { filterStateObject } from "../log/filter-state.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import type { CompileContext } from "./compile-context.ts";
import { readQuery } from "./header-match.ts";

export type HashInput = Pick<StreamInfo, "connection" | "filterState">;

export interface RequestHash {
	/** undefined: no policy found a value, the balancer draws lots. */
	readonly hash: bigint | undefined;
	/** `set-cookie` values for the response, for cookies that were made up. */
	readonly setCookies: readonly string[];
}

/** `head` undefined: a TCP connection, for which only the source address can be hashed. */
export type RequestHasher = (head: RequestView | undefined, input: HashInput) => RequestHash;

type PolicyHash = (head: RequestView | undefined, input: HashInput, setCookies: string[]) => bigint | undefined;

/** undefined when the route has no policies. Values are mixed as in Envoy: rotate left by one, exclusive-or. */
export function compileRequestHash(policies: readonly HashPolicy[], hash64: Hash64, context: CompileContext): RequestHasher | undefined {
	if (policies.length === 0) return undefined;
	const compiled = policies.map((policy) => ({ terminal: policy.terminal, of: compilePolicy(policy, hash64, context) }));
	return (head, input) => {
		const setCookies: string[] = [];
		let hash: bigint | undefined;
		for (const policy of compiled) {
			const value = policy.of(head, input, setCookies);
			if (value !== undefined) hash = hash === undefined ? value : rotateLeft(hash) ^ value;
			if (policy.terminal && hash !== undefined) break;
		}
		return { hash, setCookies };
	};
}

function rotateLeft(value: bigint): bigint {
	return BigInt.asUintN(64, (value << 1n) | (value >> 63n));
}

function compilePolicy(policy: HashPolicy, hash64: Hash64, context: CompileContext): PolicyHash {
	switch (policy.kind) {
		case "header":
			return compileHeaderPolicy(policy, hash64, context);
		case "cookie":
			return compileCookiePolicy(policy, hash64);
		case "sourceIp":
			return (_head, { connection }) => {
				const ip = parseIpPort(connection.remoteAddress)?.address;
				return ip === undefined ? undefined : hash64(ip);
			};
		case "query":
			return (head) => {
				const value = head && readQuery(head.path, policy.name);
				return value === undefined ? undefined : hash64(value);
			};
		case "filterState":
			return (_head, info) => {
				const object = filterStateObject(info, policy.key);
				return object?.kind === "hashable" ? hash64(object.text) : undefined;
			};
	}
}

function compileHeaderPolicy(policy: Extract<HashPolicy, { kind: "header" }>, hash64: Hash64, context: CompileContext): PolicyHash {
	const read = headerReader(policy.name);
	const name = policy.name.toLowerCase();
	const { regexRewrite } = policy;
	const rewrite = regexRewrite ? context.regex(regexRewrite.pattern).substitution(regexRewrite.substitution) : (value: string) => value;
	return (head) => {
		const joined = head && read(head);
		if (joined === undefined || !head) return undefined;
		if (!joined.includes(",")) return hash64(rewrite(joined));
		// Perhaps several field lines: sorted, so that their order does not matter, and chained.
		const lines: string[] = [];
		head.forEach((line, value) => {
			if (line === name) lines.push(rewrite(value));
		});
		if (lines.length <= 1) return hash64(rewrite(joined));
		return lines.sort().reduce((seed, line) => hash64(line, seed), 0n);
	};
}

function compileCookiePolicy(policy: Extract<HashPolicy, { kind: "cookie" }>, hash64: Hash64): PolicyHash {
	return (head, { connection: { remoteAddress, localAddress } }, setCookies) => {
		if (!head) return undefined;
		const found = cookieOf(head, policy.name);
		if (found !== undefined && found !== "") return hash64(found);
		if (policy.ttlMs === undefined) return undefined;
		const value = hash64(remoteAddress + localAddress).toString(16);
		setCookies.push(formatCookie(policy, value));
		return hash64(value);
	};
}

/** A session cookie when the time to live is 0. */
function formatCookie(policy: Extract<HashPolicy, { kind: "cookie" }>, value: string): string {
	const maxAge = policy.ttlMs ? `; Max-Age=${Math.floor(policy.ttlMs / 1000)}` : "";
	const path = policy.path === "" ? "" : `; Path=${policy.path}`;
	const attributes = policy.attributes.map((a) => (a.value === "" ? `; ${a.name}` : `; ${a.name}=${a.value}`)).join("");
	return `${policy.name}="${value}"${maxAge}${path}${attributes}; HttpOnly`;
}
