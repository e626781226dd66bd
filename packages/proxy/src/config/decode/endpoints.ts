import { validateConstraints } from "@weft/xds";
import type { Metadata } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { ClusterLoadAssignment, ClusterLoadAssignment_Policy_DropOverload } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import type { Endpoint_HealthCheckConfig, LbEndpoint, LocalityLbEndpoints } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint_components.ts";
import type { ClusterHosts, DropOverload, Host, HostHealthCheck, LocalityHosts } from "../hosts.ts";
import { decodeAddress } from "./address.ts";
import { type At, collect, type Decoded, onlySupports, report, under } from "./issues.ts";

const typeName = "envoy.config.endpoint.v3.ClusterLoadAssignment";
const prioritiesMax = 128;
// HUNDRED, TEN_THOUSAND, MILLION
const denominators: readonly (number | undefined)[] = [100, 10_000, 1_000_000];

/** Hosts carry slot 0: slots belong to the main thread, which hands them out when it applies the assignment. */
export function decodeAssignment(message: ClusterLoadAssignment): Decoded<ClusterHosts> {
	return collect("", (at) => {
		at.errors.push(...validateConstraints(typeName, message));
		return decodeHosts(at, message);
	});
}

/** Also for assignments inside a cluster, whose constraints were checked with it. */
export function decodeHosts(at: At, message: ClusterLoadAssignment): ClusterHosts {
	onlySupports(at, typeName, message, ["clusterName", "endpoints", "policy"]);
	const policy = message.policy;
	if (policy !== undefined) {
		onlySupports(under(at, "policy"), `${typeName}.Policy`, policy, ["dropOverloads", "overprovisioningFactor", "endpointStaleAfter"]);
	}
	const dropOverload = policy && decodeDropOverload(under(at, "policy.dropOverloads"), policy.dropOverloads);
	const priorities: LocalityHosts[][] = [];
	message.endpoints.forEach((locality, i) => {
		const here = under(at, `endpoints[${i}]`);
		if (locality.priority > prioritiesMax) return report(here, `priority must not exceed ${prioritiesMax}`);
		while (priorities.length <= locality.priority) priorities.push([]);
		priorities[locality.priority]?.push(decodeLocality(here, locality));
	});
	return { cluster: message.clusterName, overprovisioningFactor: policy?.overprovisioningFactor, ...(dropOverload && { dropOverload }), priorities };
}

/** Errors in Envoy's words. */
function decodeDropOverload(at: At, drops: readonly ClusterLoadAssignment_Policy_DropOverload[]): DropOverload | undefined {
	const [drop] = drops;
	if (drops.length > 1) report(at, `Cluster drop_overloads config has ${drops.length} categories. Envoy only support one.`);
	const { numerator, denominator } = drop?.dropPercentage ?? { numerator: 0, denominator: 0 };
	const parts = denominators[denominator];
	if (parts === undefined) report(at, `Cluster drop_overloads config denominator setting is invalid : ${denominator}. Valid range 0~2.`);
	if (drop === undefined || parts === undefined || numerator === 0) return undefined;
	const ratio = numerator / parts;
	if (ratio > 1)
		report(at, `Cluster drop_overloads config is invalid. drop_ratio=${ratio}(Numerator ${numerator} / Denominator ${parts}). The valid range is 0~1.`);
	return { category: drop.category, ratio };
}

function decodeLocality(at: At, locality: LocalityLbEndpoints): LocalityHosts {
	onlySupports(at, "envoy.config.endpoint.v3.LocalityLbEndpoints", locality, [
		"locality",
		"metadata",
		"lbEndpoints",
		"loadBalancingWeight",
		"priority",
		"proximity",
	]);
	return {
		region: locality.locality?.region ?? "",
		zone: locality.locality?.zone ?? "",
		subZone: locality.locality?.subZone ?? "",
		weight: locality.loadBalancingWeight ?? 0,
		hosts: locality.lbEndpoints.map((endpoint, i) => decodeHost(under(at, `lbEndpoints[${i}]`), endpoint)),
	};
}

// UNKNOWN, HEALTHY, UNHEALTHY, DRAINING, TIMEOUT, DEGRADED
const healths = ["healthy", "healthy", "unhealthy", "draining", "unhealthy", "degraded"] as const;

function decodeHost(at: At, { endpoint, endpointName, healthStatus, metadata, loadBalancingWeight }: LbEndpoint): Host {
	if (endpointName !== undefined) report(at, "endpoint_name is not implemented");
	return {
		healthCheck: endpoint?.healthCheckConfig && decodeHealthCheckConfig(under(at, "endpoint.healthCheckConfig"), endpoint.healthCheckConfig),
		address: decodeAddress(under(at, "endpoint.address"), endpoint?.address),
		hostname: endpoint?.hostname ?? "",
		weight: loadBalancingWeight ?? 1,
		health: healths[healthStatus] ?? "healthy",
		transportMatch: structOf(metadata, "envoy.transport_socket_match"),
		lbMetadata: structOf(metadata, "envoy.lb"),
		istioWorkload: textOf(structOf(metadata, "istio")["workload"]),
		slot: 0,
	};
}

function decodeHealthCheckConfig(at: At, { portValue, hostname, address, disableActiveHealthCheck }: Endpoint_HealthCheckConfig): HostHealthCheck {
	return {
		isDisabled: disableActiveHealthCheck,
		port: portValue,
		hostname,
		address: address && decodeAddress(under(at, "address"), address),
	};
}

const emptyStruct: Readonly<Record<string, unknown>> = {};

function structOf(metadata: Metadata | undefined, name: string): Readonly<Record<string, unknown>> {
	return metadata?.filterMetadata[name] ?? emptyStruct;
}

function textOf(value: unknown): string | undefined {
	return typeof value === "string" ? value : undefined;
}
