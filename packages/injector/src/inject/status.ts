import { isJsonObject } from "../json.ts";
import { annotationsOf, type Pod } from "../pod/pod.ts";
import type { PodOverlay } from "../template/input.ts";

export const statusAnnotation = "sidecar.istio.io/status";

/** What an injection added, in the pod's annotation: read by dashboards, by a second injection and by `weft uninject`. */
export interface InjectionStatus {
	readonly initContainers: readonly string[];
	readonly containers: readonly string[];
	readonly volumes: readonly string[];
	readonly imagePullSecrets: readonly string[];
}

/** Null stands for an empty list, as in Istio. */
export function renderStatus(overlays: readonly PodOverlay[], revision: string): string {
	const names = (field: "initContainers" | "containers" | "volumes" | "imagePullSecrets"): readonly string[] | null => {
		const all = [...new Set(overlays.flatMap(({ spec }) => (spec[field] ?? []).map(({ name }) => name)))];
		return all.length > 0 ? all : null;
	};
	const [initContainers, containers] = [names("initContainers"), names("containers")];
	return JSON.stringify({ initContainers, containers, volumes: names("volumes"), imagePullSecrets: names("imagePullSecrets"), revision });
}

/** Undefined: the pod was not injected, or its annotation is not what an injection writes. */
export function readStatus(pod: Pod): InjectionStatus | undefined {
	const text = annotationsOf(pod)[statusAnnotation];
	if (text === undefined) return undefined;
	let parsed: unknown;
	try {
		parsed = JSON.parse(text);
	} catch {
		// A user's own text under this name: the pod counts as not injected.
		return undefined;
	}
	if (!isJsonObject(parsed)) return undefined;
	const status = parsed;
	const names = (field: string): readonly string[] => {
		const list = status[field];
		return Array.isArray(list) ? list.filter((name) => typeof name === "string") : [];
	};
	return { initContainers: names("initContainers"), containers: names("containers"), volumes: names("volumes"), imagePullSecrets: names("imagePullSecrets") };
}
