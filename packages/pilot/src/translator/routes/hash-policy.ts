import type { ConsistentHashLB, Destination, LoadBalancerSettings, TrafficPolicy } from "@weft/api";
import type { DestinationRule } from "../../model/push.ts";
import { type Duration, durationOf } from "./values.ts";

export interface HashPolicyValue {
	readonly header?: { readonly headerName: string };
	readonly cookie?: {
		readonly name: string;
		readonly ttl?: Duration;
		readonly path?: string;
		readonly attributes?: readonly { readonly name: string; readonly value: string }[];
	};
	readonly connectionProperties?: { readonly sourceIp: boolean };
	readonly queryParameter?: { readonly name: string };
}

/** How a destination's DestinationRule hashes: the subset's settings before the rule's, a port's before the general ones. */
export function resolveConsistentHash(rule: DestinationRule | undefined, subset: string | undefined, port: number): ConsistentHashLB | undefined {
	if (rule === undefined) return undefined;
	const ofSubset = subset ? rule.subsets.find(({ name }) => name === subset)?.trafficPolicy : undefined;
	return (loadBalancerOf(ofSubset, port) ?? loadBalancerOf(rule.trafficPolicy, port))?.consistentHash;
}

export function resolveDestinationHash(rule: DestinationRule | undefined, destination: Destination, listenPort: number): ConsistentHashLB | undefined {
	return resolveConsistentHash(rule, destination.subset, destination.port?.number ?? listenPort);
}

function loadBalancerOf(policy: TrafficPolicy | undefined, port: number): LoadBalancerSettings | undefined {
	const ofPort = policy?.portLevelSettings?.find((settings) => settings.port?.number === port);
	return ofPort?.loadBalancer ?? policy?.loadBalancer;
}

export function buildHashPolicy(hash: ConsistentHashLB): HashPolicyValue | undefined {
	if (hash.httpHeaderName !== undefined) return { header: { headerName: hash.httpHeaderName } };
	if (hash.httpCookie !== undefined) {
		const { name, path, ttl, attributes } = hash.httpCookie;
		const lifetime = durationOf(ttl);
		return {
			cookie: {
				name,
				...(path ? { path } : {}),
				...(lifetime ? { ttl: lifetime } : {}),
				...(attributes ? { attributes: attributes.map((attribute) => ({ name: attribute.name, value: attribute.value ?? "" })) } : {}),
			},
		};
	}
	if (hash.useSourceIp) return { connectionProperties: { sourceIp: true } };
	if (hash.httpQueryParameterName !== undefined) return { queryParameter: { name: hash.httpQueryParameterName } };
	return undefined;
}
