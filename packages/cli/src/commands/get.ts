import { connectMesh } from "../local/mesh-client.ts";
import { CommandError } from "../output/errors.ts";
import { type OutputFormat, renderValue } from "../output/format.ts";
import { renderTable, shortAge } from "../output/table.ts";
import { resolveKind } from "./kind-names.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface GetOptions extends StateOptions {
	readonly namespace: string;
	readonly allNamespaces?: boolean;
	readonly output: OutputFormat;
}

interface Item {
	readonly kind: string;
	readonly metadata: { readonly name: string; readonly namespace: string; readonly creationTimestamp?: string };
	readonly spec?: Readonly<Record<string, unknown>>;
	readonly status?: Readonly<Record<string, unknown>>;
}

// Printed columns beside NAME and AGE, as the CRDs declare them.
const columns: Readonly<Record<string, readonly (readonly [string, (item: Item) => unknown])[]>> = {
	VirtualService: [
		["GATEWAYS", (i) => i.spec?.["gateways"]],
		["HOSTS", (i) => i.spec?.["hosts"]],
		["IN FORCE", inForceOf],
	],
	DestinationRule: [
		["HOST", (i) => i.spec?.["host"]],
		["IN FORCE", inForceOf],
	],
	ServiceEntry: [
		["HOSTS", (i) => i.spec?.["hosts"]],
		["LOCATION", (i) => i.spec?.["location"]],
		["RESOLUTION", (i) => i.spec?.["resolution"]],
	],
	WorkloadEntry: [["ADDRESS", (i) => i.spec?.["address"]]],
	PeerAuthentication: [["MODE", (i) => (i.spec?.["mtls"] as Readonly<Record<string, unknown>> | undefined)?.["mode"]]],
	GatewayClass: [
		["CONTROLLER", (i) => i.spec?.["controllerName"]],
		["ACCEPTED", (i) => conditionOf(i, "Accepted")],
	],
	KubernetesGateway: [
		["CLASS", (i) => i.spec?.["gatewayClassName"]],
		["ADDRESS", (i) => (i.status?.["addresses"] as readonly { readonly value: string }[] | undefined)?.map(({ value }) => value).join(",")],
		["PROGRAMMED", (i) => conditionOf(i, "Programmed")],
	],
	HTTPRoute: [["HOSTNAMES", (i) => i.spec?.["hostnames"]]],
	GRPCRoute: [["HOSTNAMES", (i) => i.spec?.["hostnames"]]],
	TLSRoute: [["HOSTNAMES", (i) => i.spec?.["hostnames"]]],
	Ingress: [
		["CLASS", (i) => i.spec?.["ingressClassName"] ?? "<none>"],
		["HOSTS", (i) => (i.spec?.["rules"] as readonly { readonly host?: string }[] | undefined)?.map(({ host }) => host ?? "*").join(",")],
	],
	IngressClass: [["CONTROLLER", (i) => i.spec?.["controller"]]],
	Service: [
		["CLUSTER-IP", (i) => i.spec?.["clusterIP"]],
		[
			"PORT(S)",
			(i) =>
				(i.spec?.["ports"] as readonly { readonly port: number; readonly protocol?: string }[] | undefined)
					?.map((p) => `${p.port}/${p.protocol ?? "TCP"}`)
					.join(","),
		],
	],
	Pod: [
		["STATUS", (i) => i.status?.["phase"]],
		["IP", (i) => i.status?.["podIP"]],
	],
	Deployment: [["REPLICAS", (i) => i.spec?.["replicas"] ?? 1]],
};

/** Of the proxies that see an object, those that have it in force. */
function inForceOf({ status }: Item): string {
	const conditions = status?.["conditions"] as readonly { readonly type: string; readonly message?: string }[] | undefined;
	return conditions?.find(({ type }) => type === "Reconciled")?.message?.split(" ", 1)[0] ?? "";
}

function conditionOf({ status }: Item, type: string): string {
	const conditions = status?.["conditions"] as readonly { readonly type: string; readonly status: string }[] | undefined;
	return conditions?.find((condition) => condition.type === type)?.status ?? "Unknown";
}

function cell(value: unknown): string {
	if (value === undefined || value === "") return "";
	return typeof value === "string" ? value : JSON.stringify(value);
}

export async function getCommand(kindText: string, name: string | undefined, options: GetOptions): Promise<void> {
	const kind = resolveKind(kindText);
	const scope = options.allNamespaces ? [] : [options.namespace, ...(name === undefined ? [] : [name])];
	const path = ["config", kind, ...scope].map(encodeURIComponent).join("/");
	const items = (await connectMesh(pathsOf(options)).get(path)) as readonly Item[];
	if (options.output !== "table") {
		const single = name !== undefined ? items[0] : { apiVersion: "v1", kind: "List", items };
		process.stdout.write(renderValue(single, options.output));
		return;
	}
	if (items.length === 0) throw new CommandError(`No resources found${options.allNamespaces ? "" : ` in ${options.namespace} namespace`}.`, 0);
	process.stdout.write(render(kind, items, options.allNamespaces ?? false));
}

function render(kind: string, items: readonly Item[], withNamespace: boolean): string {
	const own = columns[kind] ?? [];
	const head = [...(withNamespace ? ["NAMESPACE"] : []), "NAME", ...own.map(([title]) => title), "AGE"];
	const rows = items.map((item) => {
		const { name, namespace, creationTimestamp } = item.metadata;
		const age = creationTimestamp === undefined ? "" : shortAge(Date.now() - Date.parse(creationTimestamp));
		return [...(withNamespace ? [namespace] : []), name, ...own.map(([, of]) => cell(of(item))), age];
	});
	return renderTable(head, rows);
}
