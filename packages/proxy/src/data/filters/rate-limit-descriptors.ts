import type { RateLimitAction, RateLimitEntry } from "../../config/rate-limits.ts";
import { addressOf } from "../headers/edge.ts";
import type { HttpStream } from "../http/stream.ts";
import type { CompileContext } from "../match/compile-context.ts";
import { formatRange, parseIp } from "../match/cidr.ts";
import { compileHeaderMatches, compileQueryMatches, type RequestPredicate } from "../match/header-match.ts";
import { readMetadata } from "../match/metadata-match.ts";

/** What a request is counted under: keys and values, in order. */
export type Descriptor = readonly { readonly key: string; readonly value: string }[];

type DescribeEntry = (stream: HttpStream) => { readonly key: string; readonly value: string } | "skip" | undefined;

const none: readonly Descriptor[] = [];

/** Whose `rate_limits` describe a request. */
export interface DescriptorSource {
	readonly stage: number;
	readonly virtualHostLimits: "override" | "include" | "ignore";
	/** Used instead of the route's. */
	readonly rateLimits: readonly RateLimitAction[];
	/** Whether actions with this `disable_key` count for the next request; absent: all do. */
	readonly isOn?: (disableKey: string) => boolean;
}

/** The descriptors of a request by the filter's own actions, or by its route's and virtual host's. */
export function compileDescriptors(config: DescriptorSource, compile: CompileContext): (stream: HttpStream) => readonly Descriptor[] {
	const compileAll = (actions: readonly RateLimitAction[]): readonly (readonly DescribeEntry[])[] =>
		actions
			.filter(({ stage }) => stage === config.stage)
			.map(({ disableKey, entries }) => {
				const described = entries.map((entry) => compileEntry(entry, compile));
				const { isOn } = config;
				// An entry that has nothing to say takes its action out.
				return isOn === undefined || disableKey === undefined ? described : [() => (isOn(disableKey) ? "skip" : undefined), ...described];
			});
	if (config.rateLimits.length > 0) {
		const own = compileAll(config.rateLimits);
		return (stream) => describeAll(own, stream, none);
	}
	const compiled = new WeakMap<readonly RateLimitAction[], readonly (readonly DescribeEntry[])[]>();
	const describe = (actions: readonly RateLimitAction[], stream: HttpStream, before: readonly Descriptor[]) => {
		let all = compiled.get(actions);
		if (all === undefined) compiled.set(actions, (all = compileAll(actions)));
		return describeAll(all, stream, before);
	};
	return (stream) => {
		const { route } = stream;
		if (route?.config.action.kind !== "route") return none;
		const { rateLimits, includeVirtualHostRateLimits } = route.config.action;
		const host = route.virtualHost.config.rateLimits;
		const isHostIncluded =
			config.virtualHostLimits === "include" || includeVirtualHostRateLimits || (config.virtualHostLimits === "override" && rateLimits.length === 0);
		const own = describe(rateLimits, stream, none);
		return isHostIncluded ? describe(host, stream, own) : own;
	};
}

/** A request that nothing describes, as most are by most limits, leaves no garbage. */
function describeAll(all: readonly (readonly DescribeEntry[])[], stream: HttpStream, before: readonly Descriptor[]): readonly Descriptor[] {
	let found: Descriptor[] | undefined;
	for (const entries of all) {
		const descriptor = describeOne(entries, stream);
		if (descriptor !== undefined) (found ??= [...before]).push(descriptor);
	}
	return found ?? before;
}

/** undefined: an entry has nothing to say and may not be left out. */
function describeOne(entries: readonly DescribeEntry[], stream: HttpStream): Descriptor | undefined {
	let descriptor: { readonly key: string; readonly value: string }[] | undefined;
	for (const describe of entries) {
		const entry = describe(stream);
		if (entry === undefined) return undefined;
		if (entry !== "skip") (descriptor ??= []).push(entry);
	}
	return descriptor;
}

function compileEntry(entry: RateLimitEntry, compile: CompileContext): DescribeEntry {
	switch (entry.kind) {
		case "sourceCluster":
			return ({ context }) => ({ key: "source_cluster", value: context.node.cluster });
		case "destinationCluster":
			return ({ choice }) => ({ key: "destination_cluster", value: choice?.cluster ?? "" });
		case "remoteAddress":
			return ({ info }) => ({ key: "remote_address", value: addressOf(info.connection.remoteAddress) });
		case "maskedRemoteAddress":
			return ({ info }) => {
				const ip = parseIp(addressOf(info.connection.remoteAddress));
				return ip && { key: "masked_remote_address", value: formatRange(ip, ip.length === 4 ? entry.v4Bits : entry.v6Bits) };
			};
		case "queryValueMatch": {
			const matches: RequestPredicate = compileQueryMatches(entry.query, compile) ?? (() => true);
			return ({ request }) => (matches(request) === entry.expect ? { key: entry.key, value: entry.value } : undefined);
		}
		case "generic":
			return () => entry;
		case "requestHeader":
			return ({ request }) => {
				const value = request.get(entry.header);
				if (value === undefined) return entry.skipIfAbsent ? "skip" : undefined;
				return { key: entry.key, value };
			};
		case "headerValueMatch": {
			const matches: RequestPredicate = compileHeaderMatches(entry.headers, compile) ?? (() => true);
			return ({ request }) => (matches(request) === entry.expect ? { key: entry.key, value: entry.value } : undefined);
		}
		case "metadata":
			return ({ info }) => {
				const found = readMetadata(entry.source === "route" ? info.routeMetadata : info.dynamicMetadata, entry.filter, entry.path);
				const value = typeof found === "string" && found !== "" ? found : entry.defaultValue;
				if (value !== "") return { key: entry.key, value };
				return entry.skipIfAbsent ? "skip" : undefined;
			};
	}
}
