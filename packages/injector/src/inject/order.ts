import { annotationsOf, type Container, initContainerName, type Pod, proxyContainerName, validationContainerName } from "../pod/pod.ts";

/** Init containers that must run before a native sidecar: names, comma-separated. */
const beforeProxyAnnotation = "sidecar.istio.io/init-containers-before-proxy";

/**
 * The proxy last, so that kubectl's default stays the application; first where the application waits for it. Rules are set up
 * as the last step before it, for init containers to reach the network; native: before the proxy, which then serves them.
 */
export function orderContainers(pod: Pod, holdsApplication: boolean): Pod {
	const { containers, initContainers } = pod.spec;
	const ordered = { containers: holdsApplication ? moveFirst(containers, [proxyContainerName]) : moveLast(containers, proxyContainerName) };
	if (!initContainers) return { ...pod, spec: { ...pod.spec, ...ordered } };
	const isNative = initContainers.some(({ name }) => name === proxyContainerName);
	const before = (annotationsOf(pod)[beforeProxyAnnotation] ?? "").split(",").filter((name) => name !== "");
	// The check comes before anything of the user's runs.
	const init = isNative
		? moveFirst(initContainers, [initContainerName, validationContainerName, ...new Set(before), proxyContainerName])
		: moveLast(moveFirst(initContainers, [validationContainerName]), initContainerName);
	return { ...pod, spec: { ...pod.spec, ...ordered, initContainers: init } };
}

function moveFirst(containers: readonly Container[], names: readonly string[]): readonly Container[] {
	const first = names.flatMap((name) => containers.filter((container) => container.name === name));
	return [...first, ...containers.filter(({ name }) => !names.includes(name))];
}

function moveLast(containers: readonly Container[], name: string): readonly Container[] {
	return [...containers.filter((container) => container.name !== name), ...containers.filter((container) => container.name === name)];
}
