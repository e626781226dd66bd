import type { ConsistentHashLB, Destination, TrafficPolicy } from "@weft/api";
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

/**
 * How the requests of a route to a destination are hashed: the subset's settings before the rule's, a port's before the general ones,
 * where the route names the port. A level without a hash leaves it to the next, even if its balancer is another.
 */
export function resolveDestinationHash(rule: DestinationRule | undefined, { subset, port }: Destination): ConsistentHashLB | undefined {
	if (rule === undefined) return undefined;
	const ofSubset = subset ? rule.subsets.find(({ name }) => name === subset)?.trafficPolicy : undefined;
	return hashIn(ofSubset, port?.number) ?? hashIn(rule.trafficPolicy, port?.number);
}

function hashIn(policy: TrafficPolicy | undefined, port: number | undefined): ConsistentHashLB | undefined {
	const ofPort = port === undefined ? undefined : policy?.portLevelSettings?.find((settings) => settings.port?.number === port);
	return ofPort?.loadBalancer?.consistentHash ?? policy?.loadBalancer?.consistentHash;
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
