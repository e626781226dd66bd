import type { AnyConfig, Diagnostic, Kind } from "@weft/api";
import type { ObservedObject } from "@weft/kube";
import { addSpreads, computedStatus, configStatus, type Distribution, noSpread, objectChecks, type PushSnapshot, type Spread, statusInput } from "@weft/pilot";
import { mergeStatus } from "./merge-status.ts";
import type { StatusWrite } from "./status-queue.ts";

export const gatewayApiStatusKinds = [
	"GatewayClass",
	"KubernetesGateway",
	"ListenerSet",
	"HTTPRoute",
	"GRPCRoute",
	"TLSRoute",
	"TCPRoute",
	"BackendTLSPolicy",
] as const satisfies readonly Kind[];

export const istioStatusKinds = [
	"VirtualService",
	"DestinationRule",
	"ServiceEntry",
	"Gateway",
	"Sidecar",
	"PeerAuthentication",
	"RequestAuthentication",
	"AuthorizationPolicy",
	"Telemetry",
	"EnvoyFilter",
	"WasmPlugin",
	"TrafficExtension",
	"RateLimit",
] as const satisfies readonly Kind[];

/** What the statuses of one round are computed of. */
export interface StatusRound {
	readonly push: PushSnapshot;
	readonly distribution: Distribution;
	/** What other control planes say of their proxies, by `kind/namespace/name`. */
	readonly others: (key: string) => Spread;
	/** What analysis says of an object. */
	readonly findings: (object: AnyConfig) => readonly Diagnostic[];
	/** RFC 3339. */
	readonly now: string;
}

export interface WantedStatus {
	readonly write: StatusWrite;
	/** How long it may wait for something newer to replace it. */
	readonly delayMs: number;
}

/** Between a push and the answers of its proxies. */
const progressMs = 2_000;
/** A proxy that starts has nothing yet, and that is soon over. */
const startingMs = 10_000;
/** Proxies come and go, and every object says how many there are. */
const countMs = 30_000;

/** The write that an object of the push needs; undefined where the cluster says all of it, or has content that is not in the push yet. */
export function wantedStatus(round: StatusRound, object: AnyConfig, observed: ObservedObject): WantedStatus | undefined {
	const { kind, metadata } = object;
	const errors = observed.diagnostics.filter(({ severity }) => severity === "error");
	if (errors.length === 0 && metadata.generation !== observed.generation) return undefined;
	const spread = round.distribution.of(object);
	const own = computedStatus(round.push, object);
	if (spread === undefined) return own && wanted(kind, observed, own, round);
	const key = `${kind}/${metadata.namespace}/${metadata.name}`;
	const warnings = [...objectChecks.flatMap((check) => check(object)), ...round.findings(object)];
	const input = statusInput(object, addSpreads(spread, round.others(key)), errors.length > 0 ? errors : warnings);
	return wanted(kind, observed, { ...own, ...configStatus(round.push, { ...input, generation: observed.generation }) }, round);
}

/** The same for an object that never was valid, and so is in no push. */
export function invalidStatus(round: StatusRound, kind: Kind, observed: ObservedObject): WantedStatus | undefined {
	const { namespace, name, generation, diagnostics: findings } = observed;
	return wanted(kind, observed, configStatus(round.push, { kind, namespace, name, spread: noSpread, findings, generation }), round);
}

function wanted(kind: Kind, { namespace, name, uid, status: present }: ObservedObject, computed: object, { now }: StatusRound): WantedStatus | undefined {
	const status = mergeStatus(computed, present, now);
	return status && { write: { kind, namespace, name, uid, status }, delayMs: delayOf(present as StatusFields | undefined, status as StatusFields) };
}

interface StatusFields {
	readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string }[];
	readonly observedGeneration?: number;
	readonly [field: string]: unknown;
}

/** What tells how far an object has come may wait a moment; what is wrong with it, or was mended, may not. */
function delayOf(present: StatusFields | undefined, next: StatusFields): number {
	const reconciled = reasonOf(next, "Reconciled");
	if (reconciled === undefined) return 0;
	const isSameContent = present?.observedGeneration === next.observedGeneration;
	if (reconciled === "Progressing") return !isSameContent || present === undefined ? progressMs : startingMs;
	const isCount = isSameContent && reasonOf(present, "Reconciled") === reconciled && JSON.stringify(rest(present)) === JSON.stringify(rest(next));
	return isCount ? countMs : 0;
}

const reasonOf = (status: StatusFields | undefined, of: string): string | undefined => status?.conditions?.find(({ type }) => type === of)?.reason;

/** Without the condition that counts. */
function rest(status: StatusFields | undefined): object {
	const { addresses, validationMessages, conditions = [] } = status ?? {};
	return {
		addresses,
		validationMessages,
		conditions: conditions.filter(({ type }) => type !== "Reconciled").map((condition) => Object.entries(condition).sort()),
	};
}
