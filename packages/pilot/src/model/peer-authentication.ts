import type { ConfigObject, PeerAuthenticationSpec } from "@weft/api";
import { byAge } from "./age.ts";
import { isEmpty, type Labels, labelsMatch } from "./labels.ts";
import type { MtlsMode, PeerAuthenticationIndex, WorkloadPeerAuthentication } from "./push.ts";

// https://istio.io/latest/docs/reference/config/security/peer_authentication/

type Mode = NonNullable<NonNullable<PeerAuthenticationSpec["mtls"]>["mode"]>;

function modeOf(mode: Mode | undefined): MtlsMode | undefined {
	return mode === undefined || mode === "UNSET" ? undefined : mode;
}

/** The oldest policy of a scope (mesh, namespace, workload) wins. */
export function buildPeerAuthenticationIndex(objects: readonly ConfigObject<"PeerAuthentication">[], rootNamespace: string): PeerAuthenticationIndex {
	const namespaces = new Map<string, MtlsMode | undefined>();
	const workloads = new Map<string, WorkloadPeerAuthentication[]>();
	for (const { metadata, spec } of [...objects].sort(byAge)) {
		const selector = spec.selector?.matchLabels;
		const mode = modeOf(spec.mtls?.mode);
		if (isEmpty(selector)) {
			if (!namespaces.has(metadata.namespace)) namespaces.set(metadata.namespace, mode);
			continue;
		}
		const ports = new Map(Object.entries(spec.portLevelMtls ?? {}).map(([port, { mode }]) => [Number(port), modeOf(mode)] as const));
		const list = workloads.get(metadata.namespace);
		const policy: WorkloadPeerAuthentication = { selector: selector ?? {}, mode, ports };
		if (list) list.push(policy);
		else workloads.set(metadata.namespace, [policy]);
	}
	const mesh = namespaces.get(rootNamespace);
	const set = [...namespaces].flatMap(([namespace, mode]) => (mode === undefined ? [] : [[namespace, mode] as const]));
	return { mesh, rootNamespace, namespaces: new Map(set), workloads };
}

/** Mode for a workload's container port: port, workload, namespace, mesh, then PERMISSIVE. */
export function mtlsModeOf(index: PeerAuthenticationIndex, namespace: string, labels: Labels, port?: number): MtlsMode {
	const inherited = namespaceMode(index, namespace);
	const policy = policyFor(index, namespace, labels);
	if (!policy) return inherited;
	const whole = policy.mode ?? inherited;
	return port === undefined ? whole : (policy.ports.get(port) ?? whole);
}

/** Mode that holds in a namespace where no workload policy says otherwise. */
export function namespaceMode(index: PeerAuthenticationIndex, namespace: string): MtlsMode {
	return index.namespaces.get(namespace) ?? index.mesh ?? "PERMISSIVE";
}

function policyFor(index: PeerAuthenticationIndex, namespace: string, labels: Labels): WorkloadPeerAuthentication | undefined {
	return index.workloads.get(namespace)?.find((policy) => labelsMatch(policy.selector, labels));
}
