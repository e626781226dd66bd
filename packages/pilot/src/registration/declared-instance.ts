import { isDeepStrictEqual } from "node:util";
import { podStatus } from "@weft/api";
import type { StoreSnapshot } from "@weft/galley";
import { entryAnnotations, entryLabels } from "../model/entry-registration.ts";
import { isEmpty, type Labels, labelsMatch } from "../model/labels.ts";
import type { WorkloadEntry } from "./workload-entries.ts";

/**
 * Why an instance may not be registered since somebody has declared it already, or undefined: a pod, or a WorkloadEntry that did not
 * come by registration, of this address that one service selects as well. It would be sent twice its share, and one heartbeat would
 * decide nothing: what is declared comes before what is registered.
 */
export function declaredProblem(snapshot: StoreSnapshot, { metadata: { namespace, name }, spec }: WorkloadEntry): string | undefined {
	const labels = spec.labels ?? {};
	const selectors = [
		...snapshot
			.all("Service")
			.filter(({ metadata }) => metadata.namespace === namespace)
			.map((service) => service.spec.selector),
		...snapshot
			.all("ServiceEntry")
			.filter(({ metadata }) => metadata.namespace === namespace)
			.map((entry) => entry.spec.workloadSelector?.labels),
	].filter((selector): selector is Labels => !isEmpty(selector) && labelsMatch(selector, labels));
	const isSelected = (others: Labels) => selectors.some((selector) => labelsMatch(selector, others));
	const entry = snapshot
		.all("WorkloadEntry")
		.find(
			(one) =>
				one.metadata.namespace === namespace &&
				one.metadata.name !== name &&
				one.metadata.annotations[entryAnnotations.registeredBy] === undefined &&
				one.spec.address === spec.address &&
				isDeepStrictEqual(one.spec.ports ?? {}, spec.ports ?? {}) &&
				isSelected(entryLabels(one)),
		);
	if (entry) return `${spec.address} is an instance already, by WorkloadEntry ${namespace}/${entry.metadata.name}`;
	const pod = snapshot
		.all("Pod")
		.find((one) => one.metadata.namespace === namespace && addressesOf(podStatus(one)).includes(spec.address ?? "") && isSelected(one.metadata.labels));
	return pod && `${spec.address} is an instance already, by Pod ${namespace}/${pod.metadata.name}`;
}

function addressesOf({ podIP, podIPs = [] }: ReturnType<typeof podStatus>): readonly string[] {
	return [podIP, ...podIPs.map(({ ip }) => ip)].filter((ip): ip is string => ip !== undefined);
}
