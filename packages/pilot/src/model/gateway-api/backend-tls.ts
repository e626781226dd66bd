import type { BackendTLSPolicySpec, ClientTLSSettings, ConfigObject, DestinationRuleSpec, PortTrafficPolicy } from "@weft/api";
import { byAge, compareText } from "../age.ts";
import { generatedName, type GatewayApiInput, isKind, kinds } from "./context.ts";
import { type Condition, condition, controllerName, type PolicyAncestorStatus, type Problem } from "./status.ts";

type Policy = ConfigObject<"BackendTLSPolicy">;
type Target = BackendTLSPolicySpec["targetRefs"][number];

export interface CompiledPolicies {
	/** One a Service that some policy targets. */
	readonly rules: readonly ConfigObject<"DestinationRule">[];
	readonly statuses: ReadonlyMap<string, readonly PolicyAncestorStatus[]>;
}

/** How clients and gateways open TLS to a Service, as DestinationRules. https://gateway-api.sigs.k8s.io/api-types/backendtlspolicy/ */
export function compileBackendTls(input: GatewayApiInput): CompiledPolicies {
	const byService = new Map<string, { readonly target: Target; readonly policy: Policy; readonly tls: ClientTLSSettings }[]>();
	const statuses = new Map<string, readonly PolicyAncestorStatus[]>();
	for (const policy of [...input.backendTlsPolicies].sort(byAge)) {
		const { namespace, name, generation } = policy.metadata;
		const { tls, problem } = clientTls(policy, input);
		const ancestors = policy.spec.targetRefs.map((target): PolicyAncestorStatus => {
			const missing = targetProblem(target, namespace, input);
			if (!missing) {
				const key = `${namespace}/${target.name}`;
				const list = byService.get(key) ?? [];
				// The oldest policy on a port (or on all of them) holds.
				if (!list.some((known) => known.target.sectionName === target.sectionName)) list.push({ target, policy, tls });
				byService.set(key, list);
			}
			return { ancestorRef: target, controllerName, conditions: conditionsOf(missing, problem, generation) };
		});
		statuses.set(`${namespace}/${name}`, ancestors);
	}
	const rules = [...byService].sort(([a], [b]) => compareText(a, b)).map(([key, entries]) => destinationRule(key, entries, input));
	return { rules, statuses };
}

function conditionsOf(target: Problem | undefined, certificate: Problem | undefined, generation: number | undefined): readonly Condition[] {
	const fine = "Configuration is valid";
	const accepted = target ?? (certificate && { reason: "NoValidCACertificate", message: certificate.message });
	return [
		condition("Accepted", accepted, { reason: "Accepted", message: fine }, generation),
		condition("ResolvedRefs", certificate, { reason: "ResolvedRefs", message: fine }, generation),
	];
}

function targetProblem(target: Target, namespace: string, { services }: GatewayApiInput): Problem | undefined {
	const problem = (message: string) => ({ reason: "TargetNotFound", message: `targetRefs invalid: ${message}` });
	if (!isKind(target, kinds.service)) return problem(`unsupported reference kind: ${target.kind}`);
	const service = services.find(({ metadata }) => metadata.namespace === namespace && metadata.name === target.name);
	if (!service) return problem(`reference ${JSON.stringify(`${namespace}/${target.name}`)} not found`);
	if (!target.sectionName || service.spec.ports?.some(({ name }) => name === target.sectionName)) return undefined;
	return problem(`sectionName ${JSON.stringify(target.sectionName)} does not exist in Service ${namespace}/${target.name}`);
}

/** A certificate that cannot be had must not mean "trust anyone": nothing has this name, so no connection is made. */
export const invalidSecret = "invalid://";

function clientTls({ metadata, spec }: Policy, { configMaps }: GatewayApiInput): { readonly tls: ClientTLSSettings; readonly problem?: Problem } {
	const { hostname, subjectAltNames, caCertificateRefs } = spec.validation;
	const names = (subjectAltNames ?? []).flatMap(({ type, hostname: host, uri }) => (type === "URI" ? uri : host) ?? []);
	// Without names of its own the certificate must be for the host: https://gateway-api.sigs.k8s.io/geps/gep-1897/
	const tls: ClientTLSSettings = { mode: "SIMPLE", sni: hostname, subjectAltNames: names.length > 0 ? names : [hostname] };
	const [ref] = caCertificateRefs ?? [];
	if (!ref) return { tls };
	const invalid = (reason: string, message: string) => ({ tls: { ...tls, credentialName: invalidSecret }, problem: { reason, message } });
	if (!isKind(ref, kinds.configMap)) return invalid("InvalidKind", `Certificate reference invalid: unsupported reference kind: ${ref.kind}; name a ConfigMap`);
	const found = configMaps.find((candidate) => candidate.metadata.name === ref.name && candidate.metadata.namespace === metadata.namespace);
	if (!found) return invalid("InvalidCACertificateRef", `Certificate reference not found: ConfigMap ${metadata.namespace}/${ref.name}`);
	if (found.spec.data?.["ca.crt"] === undefined)
		return invalid("InvalidCACertificateRef", `Certificate invalid: ConfigMap ${metadata.namespace}/${ref.name} has no ca.crt`);
	return { tls: { ...tls, credentialName: `configmap://${metadata.namespace}/${ref.name}` } };
}

function destinationRule(
	key: string,
	entries: readonly { readonly target: Target; readonly tls: ClientTLSSettings; readonly policy: Policy }[],
	input: GatewayApiInput,
): ConfigObject<"DestinationRule"> {
	const [namespace = "", name = ""] = key.split("/");
	const ports = input.services.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name)?.spec.ports ?? [];
	const general = entries.find(({ target }) => !target.sectionName)?.tls;
	const portLevelSettings = entries.flatMap(({ target, tls }): PortTrafficPolicy[] => {
		const number = ports.find((port) => port.name === target.sectionName)?.port;
		return target.sectionName && number !== undefined ? [{ port: { number }, tls }] : [];
	});
	const spec: DestinationRuleSpec = {
		host: `${name}.${namespace}.svc.${input.domain}`,
		trafficPolicy: { ...(general && { tls: general }), ...(portLevelSettings.length > 0 && { portLevelSettings }) },
	};
	// Without a date it is the oldest: of rules for one host it says how TLS is opened, and theirs is the rest.
	return {
		apiVersion: "networking.istio.io/v1",
		kind: "DestinationRule",
		metadata: { name: `${name}~${generatedName}`, namespace, labels: {}, annotations: {} },
		spec,
	};
}
