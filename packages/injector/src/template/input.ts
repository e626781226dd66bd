import type { ProxyConfig } from "@weft/api";
import type { JsonObject } from "../json.ts";
import { annotationsOf, type Container, type Pod, proxyContainerName } from "../pod/pod.ts";
import type { InjectorSettings } from "../settings/settings.ts";
import type { Workload } from "../workload.ts";

/** What a template is built from. */
export interface TemplateInput {
	/** As the user wrote it: without what an earlier injection added. */
	readonly pod: Pod;
	readonly settings: InjectorSettings;
	readonly proxyConfig: ProxyConfig;
	readonly workload: Workload;
	/** The proxy is an init container that keeps running (restartPolicy Always). */
	readonly isNative: boolean;
	/** Of the network that the pod is in; empty: none is named. */
	readonly network: string;
}

/** What is merged over the pod. */
export type PodOverlay = {
	readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations: Readonly<Record<string, string>> };
	readonly spec: {
		readonly containers?: readonly Container[];
		readonly initContainers?: readonly Container[];
		readonly volumes: readonly ({ readonly name: string } & JsonObject)[];
		readonly imagePullSecrets?: readonly { readonly name: string }[];
		readonly securityContext?: JsonObject;
	};
};

/** What the user says cannot be built; the message is for the user. */
export class InjectionError extends Error {}

/** The pod's annotation, or what holds for all pods. An annotation that is there but empty counts. */
export function annotationOr({ pod }: TemplateInput, name: string, fallback: string): string {
	const annotations = annotationsOf(pod);
	return Object.hasOwn(annotations, name) ? (annotations[name] ?? fallback) : fallback;
}

export function interceptionModeOf(input: TemplateInput): string {
	return annotationOr(input, "sidecar.istio.io/interceptionMode", input.proxyConfig.interceptionMode ?? "REDIRECT");
}

export const appContainersOf = ({ pod }: TemplateInput): readonly string[] =>
	pod.spec.containers.map(({ name }) => name).filter((name) => name !== proxyContainerName);

/** Port of the agent's HTTP server; 0: none. */
export function statusPortOf(input: TemplateInput): string {
	return annotationOr(input, "status.sidecar.istio.io/port", String(input.settings.values.proxy.statusPort)).trim();
}
