import { isJsonObject, type Json, type JsonObject, omit } from "../json.ts";
import {
	annotationsOf,
	type Container,
	containerProblem,
	findContainer,
	findProxy,
	initContainerName,
	mapContainers,
	mapProxy,
	type Pod,
	proxyContainerName,
	validationContainerName,
	withAnnotations,
} from "../pod/pod.ts";
import { mergeStrategic } from "../pod/strategic-merge.ts";
import { InjectionError, type PodOverlay } from "../template/input.ts";
import { partOf } from "./prometheus.ts";
import { readStatus, statusAnnotation } from "./status.ts";

// https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/#customizing-injection
// A container that pod and template both have is the user's say about the injected one.

export const overridesAnnotation = "proxy.istio.io/overrides";
/** Stands for the injected image, as a container must have one. */
const autoImage = "auto";

export interface Overrides {
	readonly containers: readonly Container[];
	readonly initContainers: readonly Container[];
}

/** What an earlier injection kept of the user's containers. Throws InjectionError if the annotation is not what one writes. */
export function readOverrides(pod: Pod): Overrides {
	const text = annotationsOf(pod)[overridesAnnotation];
	if (text === undefined) return { containers: [], initContainers: [] };
	let parsed: unknown;
	try {
		parsed = JSON.parse(text);
	} catch (error) {
		throw new InjectionError(`annotation '${overridesAnnotation}' is no JSON: ${error instanceof Error ? error.message : String(error)}`);
	}
	const list = (field: string): readonly Container[] => {
		const containers = isJsonObject(parsed) ? (parsed[field] ?? []) : undefined;
		if (!Array.isArray(containers)) throw new InjectionError(`annotation '${overridesAnnotation}': expected lists of containers`);
		for (const [i, entry] of (containers as readonly Json[]).entries()) {
			const problem = containerProblem(entry);
			if (problem !== undefined) throw new InjectionError(`annotation '${overridesAnnotation}': ${field}[${i}]${problem}`);
		}
		return containers;
	};
	return { containers: list("containers"), initContainers: list("initContainers") };
}

/** The pod as its user wrote it: without what an earlier injection added. */
export function stripInjected(pod: Pod, statusPort: string): Pod {
	const status = readStatus(pod);
	if (!status) return pod;
	const { containers, initContainers } = pod.spec;
	const kept = readOverrides(pod);
	const own = (list: readonly Container[] | undefined, injected: readonly string[], overrides: readonly Container[]): readonly Container[] => {
		const left = (list ?? []).filter(({ name }) => !injected.includes(name));
		return [...left, ...overrides.filter(({ name }) => findContainer(name, left) === undefined)];
	};
	const scrapesAgent = Object.entries(annotationsOf(pod)).some(([name, value]) => partOf(name) === "port" && value === statusPort);
	const annotations = Object.entries(annotationsOf(pod)).filter(([name]) => name !== statusAnnotation && !(scrapesAgent && partOf(name) !== undefined));
	const spec = {
		...pod.spec,
		containers: own(containers, status.containers, kept.containers),
		...(initContainers && { initContainers: own(initContainers, status.initContainers, kept.initContainers) }),
	};
	return withAnnotations({ ...pod, spec }, Object.fromEntries(annotations));
}

/** With the stand-in for an image goes the policy that the API server gave it: an image without a tag would always be pulled. */
export function withoutDefaultedPolicy(pod: Pod): Pod {
	return mapContainers(pod, (container) => {
		const { imagePullPolicy, ...rest } = container as Container & JsonObject;
		return container.image === autoImage && imagePullPolicy === "Always" ? rest : container;
	});
}

/** Puts what the user says about injected containers over what the template says, and keeps it in an annotation. */
export function applyOverrides(merged: Pod, original: Pod, overlays: readonly PodOverlay[]): Pod {
	const status = readStatus(original);
	const before = readOverrides(original);
	let pod = merged;
	const applied: { containers: Container[]; initContainers: Container[] } = { containers: [], initContainers: [] };
	for (const field of ["containers", "initContainers"] as const) {
		for (const { name } of overlays.flatMap(({ spec }) => spec[field] ?? [])) {
			const users = findContainer(name, before[field]) ?? (status?.[field].includes(name) ? undefined : userContainer(name, original, field));
			if (!users) continue;
			const overlay = (users.image === autoImage ? omit(users, ["image"]) : users) as Container & JsonObject;
			applied[field].push(overlay);
			pod = mapContainers(pod, (container, at) =>
				at === field && container.name === name ? (mergeStrategic(container, overlay) as unknown as Container) : container,
			);
		}
	}
	if (!status && (applied.containers.length > 0 || applied.initContainers.length > 0)) {
		pod = withAnnotations(pod, { ...annotationsOf(pod), [overridesAnnotation]: renderOverrides(applied) });
	}
	return adjustUser(pod, original);
}

function userContainer(name: string, { spec }: Pod, field: "containers" | "initContainers"): Container | undefined {
	if (field === "containers") return findContainer(name, spec.containers);
	// With native sidecars the user still writes the proxy under containers.
	return findContainer(name, spec.containers) ?? findContainer(name, spec.initContainers);
}

/** Fields of a container in the order in which Kubernetes writes them. */
const fieldOrder = ["name", "image", "command", "args", "workingDir", "ports", "envFrom", "env", "resources", "resizePolicy", "restartPolicy", "volumeMounts"];

function renderOverrides({ containers, initContainers }: Overrides): string {
	const render = (container: Container): JsonObject => {
		const all: JsonObject = { resources: {}, ...container };
		const rest = Object.keys(all).filter((field) => !fieldOrder.includes(field));
		return Object.fromEntries([...fieldOrder, ...rest].filter((field) => all[field] !== undefined).map((field) => [field, all[field]]));
	};
	return JSON.stringify({
		...(containers.length > 0 && { containers: containers.map(render) }),
		...(initContainers.length > 0 && { initContainers: initContainers.map(render) }),
	});
}

/** A proxy of another user: the rules must let that one pass, and the check runs as it. TPROXY needs root whatever the user says. */
function adjustUser(pod: Pod, original: Pod): Pod {
	const { runAsUser, runAsGroup } = findProxy(original)?.securityContext ?? {};
	if (runAsUser === undefined && runAsGroup === undefined) return pod;
	const isCapture = ({ name }: Container): boolean => name === initContainerName || name === validationContainerName;
	const args = pod.spec.initContainers?.find(isCapture)?.args ?? [];
	const isTproxy = args[args.indexOf("-m") + 1] === "TPROXY";
	const withRoot =
		isTproxy && runAsUser !== undefined ? mapProxy(pod, (proxy) => ({ ...proxy, securityContext: { ...proxy.securityContext, runAsUser: 0 } })) : pod;
	return mapContainers(withRoot, (container, field) => {
		if (field !== "initContainers" || !isCapture(container)) return container;
		const ids = { ...(runAsUser !== undefined && { runAsUser }), ...(runAsGroup !== undefined && { runAsGroup }) };
		const isCheck = container.name === validationContainerName && !isTproxy;
		const asUser = isCheck ? { ...container, securityContext: { ...container.securityContext, ...ids } } : container;
		const at = asUser.args?.indexOf("-u") ?? -1;
		return runAsUser === undefined || runAsUser === 0 || at < 0 ? asUser : { ...asUser, args: asUser.args?.with(at + 1, String(runAsUser)) };
	});
}

/** With native sidecars: the user's istio-proxy moves to where the template has it. */
export function moveUserProxy(pod: Pod): Pod {
	const users = findContainer(proxyContainerName, pod.spec.containers);
	if (!users) return pod;
	const containers = pod.spec.containers.filter((container) => container !== users);
	return { ...pod, spec: { ...pod.spec, containers, initContainers: [...(pod.spec.initContainers ?? []), users] } };
}
