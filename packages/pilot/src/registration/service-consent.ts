import type { AnyConfig, ConfigObject } from "@weft/api";
import type { StoreSnapshot } from "@weft/galley";
import { entryAnnotations, entryLabels } from "../model/entry-registration.ts";
import { isEmpty, type Labels, labelsMatch } from "../model/labels.ts";

/**
 * On a Service or ServiceEntry: the service accounts whose workloads may register instances of it, with commas between, or `*` for all
 * of its namespace. Without it, those that its instances run as.
 */
export const registrarsAnnotation = "weft.dev/registration-service-accounts";

type Selecting = ConfigObject<"Service"> | ConfigObject<"ServiceEntry">;

/** The selector by which a workload becomes an instance of `service` (name or host) in the namespace. A text: why there is none. */
export function selectorOf(snapshot: StoreSnapshot, namespace: string, service: string): Labels | string {
	const host = /^(?<name>[^.]+)\.(?<namespace>[^.]+)(\.svc(\..+)?)?$/.exec(service)?.groups;
	const name = host?.["namespace"] === namespace ? (host["name"] ?? service) : service;
	const found: Selecting | undefined =
		snapshot.get("Service", namespace, name) ??
		snapshot.all("ServiceEntry").find(({ metadata, spec }) => metadata.namespace === namespace && (spec.hosts.includes(service) || metadata.name === service));
	if (!found) return `there is no Service or ServiceEntry ${service} in namespace ${namespace}`;
	const selector = selectorOfObject(found);
	if (selector === undefined || isEmpty(selector))
		return `${found.kind} ${namespace}/${found.metadata.name} selects no workloads: it has no ${found.kind === "Service" ? "selector" : "workloadSelector"}`;
	return selector;
}

function selectorOfObject(object: Selecting): Labels | undefined {
	return object.kind === "Service" ? object.spec.selector : object.spec.workloadSelector?.labels;
}

/**
 * Why a workload of this service account may not be an instance with these labels, or undefined. Labels decide which services send
 * requests there, so each service that they match is asked: else a workload of a namespace could take the place of any other of it.
 */
export function consentProblem(snapshot: StoreSnapshot, namespace: string, labels: Labels, serviceAccount: string): string | undefined {
	const objects: readonly Selecting[] = [...snapshot.all("Service"), ...snapshot.all("ServiceEntry")];
	for (const object of objects) {
		const { metadata } = object;
		const selector = selectorOfObject(object);
		if (metadata.namespace !== namespace || selector === undefined || isEmpty(selector) || !labelsMatch(selector, labels)) continue;
		const problem = problemOf(snapshot, object, selector, serviceAccount);
		if (problem !== undefined) return problem;
	}
	return undefined;
}

function problemOf(snapshot: StoreSnapshot, { kind, metadata }: Selecting, selector: Labels, serviceAccount: string): string | undefined {
	const said = metadata.annotations[registrarsAnnotation];
	const named = said?.split(",").map((name) => name.trim());
	const allowed = named ?? [...accountsBehind(snapshot, metadata.namespace, selector)];
	// Nobody is behind it: there is no place to take.
	if (named === undefined && allowed.length === 0) return undefined;
	if (allowed.includes(serviceAccount) || named?.includes("*")) return undefined;
	const where = `${kind} ${metadata.namespace}/${metadata.name}`;
	const whose = named === undefined ? `instances of ${where} run as ${allowed.join(", ")}` : `${where} takes registrations of ${allowed.join(", ")}`;
	return `${whose}, not as ${serviceAccount}: register under that service account, or name ${serviceAccount} in its annotation ${registrarsAnnotation}`;
}

/** Service accounts of pods, entries and groups that the selector matches; what was registered over HTTPS speaks for nobody. */
function accountsBehind(snapshot: StoreSnapshot, namespace: string, selector: Labels): ReadonlySet<string> {
	const accounts = new Set<string>();
	const isMatch = ({ metadata }: AnyConfig, labels: Labels) => metadata.namespace === namespace && labelsMatch(selector, labels);
	for (const pod of snapshot.all("Pod")) {
		if (isMatch(pod, pod.metadata.labels)) accounts.add(pod.spec.serviceAccountName ?? pod.spec.serviceAccount ?? "default");
	}
	for (const entry of snapshot.all("WorkloadEntry")) {
		const { serviceAccount = "" } = entry.spec;
		if (serviceAccount !== "" && entry.metadata.annotations[entryAnnotations.registeredBy] === undefined && isMatch(entry, entryLabels(entry)))
			accounts.add(serviceAccount);
	}
	for (const group of snapshot.all("WorkloadGroup")) {
		const { template, metadata } = group.spec;
		if (template.serviceAccount && isMatch(group, { ...template.labels, ...metadata?.labels })) accounts.add(template.serviceAccount);
	}
	return accounts;
}
