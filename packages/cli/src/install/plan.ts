import { CommandError } from "../output/errors.ts";
import { isTree, mergeValues, type ValueTree } from "./set-values.ts";

export type ChartName = "base" | "control-plane" | "gateway";

/** One Helm release. */
export interface Component {
	/** For people: "Control plane". */
	readonly title: string;
	readonly chart: ChartName;
	readonly release: string;
	readonly namespace: string;
	readonly values: ValueTree;
}

export interface InstallRequest {
	/** Values files and `--set`, merged, in the order given. */
	readonly values: ValueTree;
	readonly revision?: string;
	/** Namespace of the control plane, unless global.istioNamespace says another. */
	readonly namespace?: string;
}

/** Gateways that a profile brings, as Istio's profiles do. */
const profiles: Readonly<Record<string, readonly GatewayName[]>> = {
	default: ["istio-ingressgateway"],
	demo: ["istio-ingressgateway", "istio-egressgateway"],
	minimal: [],
};

const gateways = ["istio-ingressgateway", "istio-egressgateway"] as const;
type GatewayName = (typeof gateways)[number];
const gatewayTitles: Readonly<Record<GatewayName, string>> = { "istio-ingressgateway": "Ingress gateway", "istio-egressgateway": "Egress gateway" };
const gatewayComponents: Readonly<Record<GatewayName, string>> = { "istio-ingressgateway": "ingressGateways", "istio-egressgateway": "egressGateways" };

/** What a profile's gateways ask for; small where the whole mesh is. */
const gatewayDefaults: Readonly<Record<string, ValueTree>> = {
	demo: { autoscaling: { enabled: false }, resources: { requests: { cpu: "10m", memory: "40Mi" } } },
};

/**
 * The releases of an installation, in the order in which they are made.
 * Values may stand as in the charts, under `values.` as istioctl has them, and with istioctl's `hub`, `tag` and
 * `components.{base,pilot,ingressGateways,egressGateways}`. Throws a CommandError that names what it does not know.
 */
export function planInstall({ values, revision = "", namespace = "istio-system" }: InstallRequest): readonly Component[] {
	const { components, gateways: gatewayValues, base, defaultRevision, ...own } = normalise(values);
	const profile = String(own["profile"] ?? "default");
	const defaults = profiles[profile];
	if (!defaults) throw new CommandError(`there is no profile ${JSON.stringify(profile)}; there are ${Object.keys(profiles).join(", ")}`);
	const controlPlane = revision === "" ? own : mergeValues(own, { revision });
	const rev = String(controlPlane["revision"] ?? "");
	const global = treeAt(controlPlane, "global");
	const home = String(global["istioNamespace"] ?? namespace);
	const switches = switchesOf(components);
	const plan: Component[] = [];
	if (switches("base", true)) {
		const shared = { ...pick(global, ["imagePullSecrets"]), istioNamespace: home };
		const its = { ...(base !== undefined && { base }), ...(defaultRevision !== undefined && { defaultRevision }), global: shared };
		plan.push({ title: "Base", chart: "base", release: "weft-base", namespace: home, values: its });
	}
	if (switches("pilot", true)) {
		const release = rev === "" ? "weft" : `weft-${rev}`;
		const its = mergeValues(controlPlane, { global: { istioNamespace: home } });
		plan.push({ title: "Control plane", chart: "control-plane", release, namespace: home, values: its });
	}
	for (const name of gateways) {
		const its = treeAt(gatewayValues, name);
		const enabled = its["enabled"] ?? switches(gatewayComponents[name], defaults.includes(name));
		if (enabled !== true) continue;
		const { enabled: _, ...chosen } = its;
		const common = mergeValues(gatewayDefaults[profile] ?? {}, {
			...(rev !== "" && { revision: rev }),
			...pick(global, ["imagePullPolicy", "imagePullSecrets"]),
			...(name === "istio-egressgateway" && { service: { type: "ClusterIP" } }),
		});
		plan.push({ title: gatewayTitles[name], chart: "gateway", release: name, namespace: home, values: mergeValues(common, chosen) });
	}
	if (plan.length === 0) throw new CommandError("every component is disabled: there is nothing to install");
	return plan;
}

/** istioctl's layout and Helm's become one: `values.` is taken off, `hub` and `tag` are for every image. */
function normalise(values: ValueTree): ValueTree & {
	readonly components?: unknown;
	readonly gateways?: unknown;
	readonly base?: unknown;
	readonly defaultRevision?: unknown;
} {
	if (values["kind"] === "IstioOperator" || isTree(values["spec"])) {
		throw new CommandError("this is an IstioOperator object: pass its spec.values, meshConfig and profile as a values file instead");
	}
	const { values: nested, hub, tag, ...rest } = values;
	const flat = isTree(nested) ? mergeValues(nested, rest) : rest;
	const images = { ...(hub !== undefined && { hub }), ...(tag !== undefined && { tag }) };
	return Object.keys(images).length > 0 ? mergeValues(flat, { global: images }) : flat;
}

function treeAt(value: unknown, key: string): ValueTree {
	const inner = isTree(value) ? value[key] : undefined;
	return isTree(inner) ? inner : {};
}

function pick(tree: ValueTree, keys: readonly string[]): ValueTree {
	return Object.fromEntries(Object.entries(tree).filter(([key]) => keys.includes(key)));
}

/** `components.pilot.enabled`, `components.ingressGateways[0].enabled`. */
function switchesOf(components: unknown): (name: string, fallback: boolean) => boolean {
	const known = new Set(["base", "pilot", ...Object.values(gatewayComponents)]);
	const given = isTree(components) ? components : {};
	for (const name of Object.keys(given)) {
		if (!known.has(name)) throw new CommandError(`components.${name}: there is no such component; there are ${[...known].join(", ")}`);
	}
	return (name, fallback) => {
		const value = given[name];
		const first: unknown = Array.isArray(value) ? value[0] : value;
		const enabled = isTree(first) ? first["enabled"] : undefined;
		return typeof enabled === "boolean" ? enabled : fallback;
	};
}
