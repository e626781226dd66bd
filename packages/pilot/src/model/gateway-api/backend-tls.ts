import type { BackendTLSPolicySpec, ClientTLSSettings, ConfigObject, DestinationRuleSpec, PortTrafficPolicy } from "@weft/api";
import { byAge, compareText } from "../age.ts";
import { generatedName, type GatewayApiInput, isKind, kinds } from "./context.ts";
import { type Condition, condition, controllerName, type PolicyAncestorStatus, type Problem } from "./status.ts";

type Policy = ConfigObject<"BackendTLSPolicy">;
type Target = BackendTLSPolicySpec["targetRefs"][number];

export interface CompiledPolicies {
	/** One a host that some policy targets. */
	readonly rules: readonly ConfigObject<"DestinationRule">[];
	readonly statuses: ReadonlyMap<string, readonly PolicyAncestorStatus[]>;
}

/** What a policy is for, once it was found. */
interface Backend {
	readonly namespace: string;
	readonly ports: readonly { readonly name?: string | undefined; readonly number: number }[];
	readonly rules: readonly { readonly host: string; readonly name: string }[];
}

interface Entry {
	readonly target: Target;
	readonly tls: ClientTLSSettings;
}

/** How clients and gateways open TLS to a Service or the hosts of a ServiceEntry, as DestinationRules. https://gateway-api.sigs.k8s.io/api-types/backendtlspolicy/ */
export function compileBackendTls(input: GatewayApiInput): CompiledPolicies {
	const byBackend = new Map<string, { readonly backend: Backend; readonly entries: Entry[] }>();
	const statuses = new Map<string, readonly PolicyAncestorStatus[]>();
	for (const policy of [...input.backendTlsPolicies].sort(byAge)) {
		const { namespace, name, generation } = policy.metadata;
		const { tls, problem } = clientTls(policy, input);
		const ancestors = policy.spec.targetRefs.map((target): PolicyAncestorStatus => {
			const found = findBackend(target, namespace, input);
			if ("value" in found) {
				const key = `${namespace}/${target.name}/${target.kind}`;
				const entries: Entry[] = byBackend.get(key)?.entries ?? [];
				// The oldest policy on a port (or on all of them) holds.
				if (!entries.some((known) => known.target.sectionName === target.sectionName)) entries.push({ target, tls });
				byBackend.set(key, { backend: found.value, entries });
			}
			return { ancestorRef: target, controllerName, conditions: conditionsOf("value" in found ? undefined : found, problem, generation) };
		});
		statuses.set(`${namespace}/${name}`, ancestors);
	}
	const rules = [...byBackend].sort(([a], [b]) => compareText(a, b)).flatMap(([, { backend, entries }]) => destinationRules(backend, entries));
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

function findBackend(target: Target, namespace: string, input: GatewayApiInput): { readonly value: Backend } | Problem {
	const problem = (message: string) => ({ reason: "TargetNotFound", message: `targetRefs invalid: ${message}` });
	if (!isKind(target, kinds.service) && !isKind(target, kinds.serviceEntry)) return problem(`unsupported reference kind: ${target.kind}`);
	const value = isKind(target, kinds.service) ? serviceBackend(target.name, namespace, input) : entryBackend(target.name, namespace, input);
	if (!value) return problem(`reference ${JSON.stringify(`${namespace}/${target.name}`)} not found`);
	if (!target.sectionName || value.ports.some(({ name }) => name === target.sectionName)) return { value };
	return problem(`sectionName ${JSON.stringify(target.sectionName)} does not exist in ${target.kind} ${namespace}/${target.name}`);
}

function serviceBackend(name: string, namespace: string, { services, domain }: GatewayApiInput): Backend | undefined {
	const service = services.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
	const rules = [{ host: `${name}.${namespace}.svc.${domain}`, name: `${name}~${generatedName}` }];
	return service && { namespace, ports: (service.spec.ports ?? []).map((port) => ({ name: port.name, number: port.port })), rules };
}

/** Each of its hosts is a destination of its own. */
function entryBackend(name: string, namespace: string, { serviceEntries }: GatewayApiInput): Backend | undefined {
	const entry = serviceEntries.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
	const rules = [...new Set(entry?.spec.hosts)].map((host) => ({ host, name: `${name}~${host.replaceAll(".", "-")}~${generatedName}` }));
	return entry && { namespace, ports: entry.spec.ports ?? [], rules };
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

function destinationRules({ namespace, ports, rules }: Backend, entries: readonly Entry[]): readonly ConfigObject<"DestinationRule">[] {
	const general = entries.find(({ target }) => !target.sectionName)?.tls;
	const portLevelSettings = entries.flatMap(({ target, tls }): PortTrafficPolicy[] => {
		const number = ports.find((port) => port.name === target.sectionName)?.number;
		return target.sectionName && number !== undefined ? [{ port: { number }, tls }] : [];
	});
	const trafficPolicy: DestinationRuleSpec["trafficPolicy"] = { ...(general && { tls: general }), ...(portLevelSettings.length > 0 && { portLevelSettings }) };
	// Without a date it is the oldest: of rules for one host it says how TLS is opened, and theirs is the rest.
	return rules.map(({ host, name }) => ({
		apiVersion: "networking.istio.io/v1",
		kind: "DestinationRule",
		metadata: { name, namespace, labels: {}, annotations: {} },
		spec: { host, trafficPolicy },
	}));
}
