import { createStore, decodeYaml } from "@weft/galley";
import { buildPush, decodeNode, translateAll } from "@weft/pilot";
import { policyNamespace, trustDomains, type VerdictCase } from "./cases.ts";

type Json = Readonly<Record<string, unknown>>;

/** What Pilot sends to a workload for a case's policies: filters that judge, and how paths are normalised. */
export interface Emitted {
	readonly manager: Json;
	readonly networkFilters: readonly Json[];
}

interface Filter {
	readonly name: string;
	readonly typedConfig: Json & { readonly httpFilters?: readonly Filter[] };
}

interface Listener {
	readonly name: string;
	readonly filterChains: readonly { readonly name: string; readonly filters: readonly Filter[] }[];
}

const judging = /^envoy\.filters\.(?:http|network)\.(?:rbac|jwt_authn)$/;

export function emit({ policies, normalization }: VerdictCase, requestAuthentication: object): Emitted {
	const objects = [
		requestAuthentication,
		...policies.map(({ name, action, rules }) => ({
			apiVersion: "security.istio.io/v1",
			kind: "AuthorizationPolicy",
			metadata: { name, namespace: policyNamespace },
			spec: { action, ...(rules.length > 0 ? { rules } : {}) },
		})),
	];
	const decoded = decodeYaml(objects.map((object) => JSON.stringify(object)).join("\n---\n"), "case.yaml");
	const errors = decoded.diagnostics.filter(({ severity }) => severity === "error");
	if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join("\n"));
	const store = createStore();
	store.apply({ source: "case", upsert: decoded.objects, remove: [] });
	const [trustDomain, ...trustDomainAliases] = trustDomains;
	const push = buildPush({ snapshot: store.snapshot(), meshConfig: { trustDomain, trustDomainAliases, pathNormalization: { normalization } }, clusterId: "c" });
	const metadata = { NAMESPACE: policyNamespace, ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.0.0.1" };
	const node = decodeNode({ id: `sidecar~10.0.0.1~a.${policyNamespace}~${policyNamespace}.svc.cluster.local`, metadata }, push);
	const inbound = (translateAll(push, node).lds as unknown as readonly Listener[]).find(({ name }) => name === "virtualInbound");
	const filtersOf = (chain: string) => inbound?.filterChains.find(({ name }) => name === chain)?.filters ?? [];
	const manager = filtersOf("virtualInbound-catchall-http").find(({ typedConfig }) => typedConfig.httpFilters)?.typedConfig;
	if (manager === undefined) throw new Error("Pilot sent no HTTP chain for the inbound side");
	const { routeConfig: _routes, accessLog: _log, tracing: _tracing, ...kept } = manager;
	return {
		manager: { ...kept, httpFilters: manager.httpFilters?.filter(({ name }) => judging.test(name)) },
		networkFilters: filtersOf("virtualInbound").filter(({ name }) => judging.test(name)) as unknown as readonly Json[],
	};
}
