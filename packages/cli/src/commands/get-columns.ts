import { isKind, kindInfo } from "@weft/api";

/** An object as the control plane hands it out. */
export interface Item {
	readonly kind: string;
	readonly metadata: { readonly name: string; readonly namespace: string; readonly creationTimestamp?: string };
	readonly spec?: Readonly<Record<string, unknown>>;
	readonly status?: Readonly<Record<string, unknown>>;
}

type Column = readonly [title: string, of: (item: Item) => unknown];

// Printed columns beside NAME and AGE, as the CRDs declare them; IN FORCE is ours.
const columns: Readonly<Record<string, readonly Column[]>> = {
	VirtualService: [
		["GATEWAYS", (i) => i.spec?.["gateways"]],
		["HOSTS", (i) => i.spec?.["hosts"]],
	],
	DestinationRule: [["HOST", (i) => i.spec?.["host"]]],
	ServiceEntry: [
		["HOSTS", (i) => i.spec?.["hosts"]],
		["LOCATION", (i) => i.spec?.["location"]],
		["RESOLUTION", (i) => i.spec?.["resolution"]],
	],
	WorkloadEntry: [["ADDRESS", (i) => i.spec?.["address"]]],
	PeerAuthentication: [["MODE", (i) => fieldOf(i.spec?.["mtls"], "mode")]],
	AuthorizationPolicy: [["ACTION", (i) => i.spec?.["action"] ?? "ALLOW"]],
	GatewayClass: [
		["CONTROLLER", (i) => i.spec?.["controllerName"]],
		["ACCEPTED", (i) => conditionOf(i, "Accepted")?.status ?? "Unknown"],
	],
	KubernetesGateway: [
		["CLASS", (i) => i.spec?.["gatewayClassName"]],
		[
			"ADDRESS",
			(i) =>
				listOf(i.status?.["addresses"])
					.map((address) => fieldOf(address, "value"))
					.join(","),
		],
		["PROGRAMMED", (i) => conditionOf(i, "Programmed")?.status ?? "Unknown"],
	],
	ListenerSet: [
		["GATEWAY", (i) => fieldOf(i.spec?.["parentRef"], "name")],
		["ACCEPTED", (i) => conditionOf(i, "Accepted")?.status ?? "Unknown"],
		["PROGRAMMED", (i) => conditionOf(i, "Programmed")?.status ?? "Unknown"],
	],
	HTTPRoute: [["HOSTNAMES", (i) => i.spec?.["hostnames"]]],
	GRPCRoute: [["HOSTNAMES", (i) => i.spec?.["hostnames"]]],
	TLSRoute: [["HOSTNAMES", (i) => i.spec?.["hostnames"]]],
	Ingress: [
		["CLASS", (i) => i.spec?.["ingressClassName"] ?? "<none>"],
		[
			"HOSTS",
			(i) =>
				listOf(i.spec?.["rules"])
					.map((rule) => fieldOf(rule, "host") ?? "*")
					.join(","),
		],
	],
	IngressClass: [["CONTROLLER", (i) => i.spec?.["controller"]]],
	Service: [
		["CLUSTER-IP", (i) => i.spec?.["clusterIP"]],
		[
			"PORT(S)",
			(i) =>
				listOf(i.spec?.["ports"])
					.map((port) => `${String(fieldOf(port, "port"))}/${String(fieldOf(port, "protocol") ?? "TCP")}`)
					.join(","),
		],
	],
	Pod: [
		["STATUS", (i) => i.status?.["phase"]],
		["IP", (i) => i.status?.["podIP"]],
	],
	Deployment: [["REPLICAS", (i) => i.spec?.["replicas"] ?? 1]],
};

/** Beside those, with `-o wide`. */
const wideColumns: Readonly<Record<string, readonly Column[]>> = {
	DestinationRule: [["SUBSETS", (i) => namesOf(i.spec?.["subsets"], "name")]],
	ServiceEntry: [["ADDRESSES", (i) => namesOf(i.status?.["addresses"], "value")]],
	Gateway: [
		["SELECTOR", (i) => labelsOf(i.spec?.["selector"])],
		[
			"PORTS",
			(i) =>
				listOf(i.spec?.["servers"])
					.map((server) => fieldOf(fieldOf(server, "port"), "number"))
					.join(","),
		],
	],
	Sidecar: [["SELECTOR", selectorOf]],
	PeerAuthentication: [["SELECTOR", selectorOf]],
	AuthorizationPolicy: [
		["SELECTOR", selectorOf],
		["RULES", (i) => listOf(i.spec?.["rules"]).length],
	],
	RequestAuthentication: [
		["SELECTOR", selectorOf],
		["ISSUERS", (i) => namesOf(i.spec?.["jwtRules"], "issuer")],
	],
	Telemetry: [["SELECTOR", selectorOf]],
	WasmPlugin: [
		["SELECTOR", selectorOf],
		["URL", (i) => i.spec?.["url"]],
	],
	TrafficExtension: [["SELECTOR", selectorOf]],
	RateLimit: [["SELECTOR", selectorOf]],
	EnvoyFilter: [
		["SELECTOR", selectorOf],
		["PATCHES", (i) => [...new Set(listOf(i.spec?.["configPatches"]).map((patch) => fieldOf(patch, "applyTo")))].join(",")],
		["PRIORITY", (i) => i.spec?.["priority"] ?? 0],
	],
};

/** Of kinds whose status tells of the proxies that have an object. */
const inForce: readonly Column[] = [["IN FORCE", (i) => conditionOf(i, "Reconciled")?.message?.split(" ", 1)[0]]];
const statusColumns: readonly Column[] = [
	["VALID", (i) => conditionOf(i, "PassedValidation")?.status],
	["STATE", (i) => conditionOf(i, "Reconciled")?.reason],
	["PROBLEM", problemOf],
];
const withoutSpread: ReadonlySet<string> = new Set(["WorkloadEntry", "WorkloadGroup", "ProxyConfig"]);

/** The columns of a kind beside NAME and AGE. */
export function columnsOf(kind: string, isWide: boolean): readonly Column[] {
	const own = columns[kind] ?? [];
	const wide = isWide ? (wideColumns[kind] ?? []) : [];
	const isSpread = isKind(kind) && kindInfo(kind).istio && !withoutSpread.has(kind);
	return isSpread ? [...own, ...wide, ...inForce, ...(isWide ? statusColumns : [])] : [...own, ...wide];
}

interface Condition {
	readonly type: string;
	readonly status: string;
	readonly reason?: string;
	readonly message?: string;
}

function conditionOf({ status }: Item, type: string): Condition | undefined {
	return (status?.["conditions"] as readonly Condition[] | undefined)?.find((condition) => condition.type === type);
}

/** What validation says, else the refusal behind the count of proxies. */
function problemOf(item: Item): string | undefined {
	const valid = conditionOf(item, "PassedValidation")?.message;
	if (valid) return valid;
	return conditionOf(item, "Reconciled")?.message?.replace(/^\d+\/\d+ proxies up to date\.\s*/, "");
}

function fieldOf(value: unknown, name: string): unknown {
	return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const namesOf = (value: unknown, name: string): string =>
	listOf(value)
		.map((entry) => fieldOf(entry, name))
		.join(",");

const labelsOf = (labels: unknown): string =>
	Object.entries((labels ?? {}) as Readonly<Record<string, unknown>>)
		.map(([name, value]) => `${name}=${String(value)}`)
		.join(",");

/** The labels, or the objects, that a policy is for. */
function selectorOf({ spec }: Item): string {
	const labels =
		fieldOf(spec?.["selector"], "matchLabels") ?? fieldOf(spec?.["workloadSelector"], "labels") ?? fieldOf(spec?.["workloadSelector"], "matchLabels");
	const target = spec?.["targetRef"];
	const refs = [...listOf(spec?.["targetRefs"]), ...(target === undefined ? [] : [target])];
	return refs.length > 0 ? refs.map((ref) => `${String(fieldOf(ref, "kind"))}/${String(fieldOf(ref, "name"))}`).join(",") : labelsOf(labels);
}
