import { type InjectionFacts, type InjectionResult, injectPod } from "./inject-pod.ts";
import { isJsonObject, type Json, type JsonObject, omit } from "./json.ts";
import { decodePod, type Pod } from "./pod/pod.ts";
import type { InjectorSettings } from "./settings/settings.ts";
import { InjectionError } from "./template/input.ts";
import { uninjectPod } from "./uninject.ts";
import type { Workload } from "./workload.ts";

// Objects of a file, as `weft inject` reads them: a Pod, what makes Pods from a template, or a List of those.

/** Kinds with spec.template; by API group, as other groups have kinds of these names. */
const templated: Readonly<Record<string, readonly string[]>> = {
	apps: ["Deployment", "DaemonSet", "StatefulSet", "ReplicaSet"],
	batch: ["Job"],
	"": ["ReplicationController"],
	"apps.openshift.io": ["DeploymentConfig"],
	"argoproj.io": ["Rollout"],
};
const listDepthMax = 4;

export interface OfflineFacts {
	/** Where objects go that name no namespace. */
	readonly namespace: string;
	readonly hasNativeSidecars: boolean;
}

export interface OfflineResult {
	/** The object with its pods injected; the very same where there is nothing to inject. */
	readonly object: JsonObject;
	/** Each about one workload: `Deployment "default/web"`. */
	readonly notices: readonly Notice[];
}
export type Notice = {
	readonly kind: "skipped" | "warning" | "error";
	readonly subject: string;
	readonly message: string;
	/** From the object's root, for the line. */
	readonly path: readonly (string | number)[];
};

/** Injects what the object makes. Never throws on what a user wrote. */
export function injectObject(object: JsonObject, settings: InjectorSettings, facts: OfflineFacts): OfflineResult {
	return mapPods(object, facts.namespace, (pod, workload) => toOutcome(injectPod(pod, settings, offlineFacts(pod, workload, facts))));
}

/** Takes back what an injection added. */
export function uninjectObject(object: JsonObject): OfflineResult {
	return mapPods(object, "default", (pod) => {
		try {
			const plain = uninjectPod(pod);
			return plain ? { pod: plain, messages: [] } : { messages: [{ kind: "skipped", message: "it was not injected" }] };
		} catch (error) {
			if (error instanceof InjectionError) return { messages: [{ kind: "error", message: error.message }] };
			throw error;
		}
	});
}

interface Outcome {
	readonly pod?: Pod;
	readonly messages: readonly Pick<Notice, "kind" | "message">[];
}

function toOutcome(result: InjectionResult): Outcome {
	switch (result.kind) {
		case "injected":
			return { pod: result.pod, messages: result.warnings.map((message) => ({ kind: "warning", message })) };
		case "skipped":
			return { messages: [{ kind: "skipped", message: result.message }] };
		case "error":
			return { messages: [{ kind: "error", message: result.message }] };
	}
}

/** A file says nothing of its namespace's labels: whoever asks for injection wants it. */
function offlineFacts(pod: Pod, workload: Workload | undefined, { namespace, hasNativeSidecars }: OfflineFacts): InjectionFacts {
	// A template names no namespace: a workload of kube-system that is asked for by its file is injected, too.
	return { namespace: { name: pod.metadata.namespace ?? (workload ? "" : namespace) }, hasNativeSidecars, isFile: true, ...(workload && { workload }) };
}

type Change = (pod: Pod, workload: Workload | undefined) => Outcome;
type Path = readonly (string | number)[];

function mapPods(object: JsonObject, namespace: string, change: Change, path: Path = [], depth = 0): OfflineResult {
	if (isList(object)) return mapList(object, namespace, change, path, depth);
	const place = podPlace(object);
	if (!place) return { object, notices: [] };
	const subject = subjectOf(object);
	const template = valueAt(object, place.path);
	const decoded = decodePod(withSharedMetadata(template, object, place.metadataPath));
	if ("error" in decoded) return { object, notices: [{ kind: "error", subject, message: decoded.error, path: [...path, ...place.path] }] };
	const { pod, messages } = change(decoded.pod, place.path.length === 0 ? undefined : workloadOf(object, namespace));
	const notices = messages.map((message) => ({ ...message, subject, path: [...path, ...place.path] }));
	if (!pod) return { object, notices };
	const changed = setAt(object, place.path, isBare(pod) ? omit(pod, ["metadata"]) : pod);
	if (!place.metadataPath) return { object: changed, notices };
	const jobs = decodePod({ ...(isJsonObject(template) ? template : {}), metadata: valueAt(object, place.metadataPath) });
	const jobPod = "error" in jobs ? undefined : change(jobs.pod, workloadOf(object, namespace)).pod;
	return { object: jobPod ? setAt(changed, place.metadataPath, isBare(jobPod) ? undefined : jobPod.metadata) : changed, notices };
}

const isBare = (pod: Pod): boolean => Object.keys(pod.metadata).length === 0;

function mapList(list: JsonObject & { readonly items: readonly Json[] }, namespace: string, change: Change, path: Path, depth: number): OfflineResult {
	if (depth >= listDepthMax)
		return { object: list, notices: [{ kind: "error", subject: "List", message: `Lists nested deeper than ${listDepthMax} levels`, path }] };
	const results = list.items.map((item, i): { readonly object: Json; readonly notices: readonly Notice[] } =>
		isJsonObject(item) ? mapPods(item, namespace, change, [...path, "items", i], depth + 1) : { object: item, notices: [] },
	);
	const isChanged = results.some((result, i) => result.object !== list.items[i]);
	return { object: isChanged ? { ...list, items: results.map((result) => result.object) } : list, notices: results.flatMap((result) => result.notices) };
}

function isList(object: JsonObject): object is JsonObject & { readonly items: readonly Json[] } {
	return typeof object["kind"] === "string" && object["kind"].endsWith("List") && Array.isArray(object["items"]);
}

/** Where the object keeps its pod. */
function podPlace(object: JsonObject): { readonly path: Path; readonly metadataPath?: Path } | undefined {
	const kind = String(object["kind"]);
	const apiVersion = String(object["apiVersion"]);
	const group = apiVersion.includes("/") ? (apiVersion.split("/", 1)[0] ?? "") : "";
	if (kind === "Pod" && group === "") return { path: [] };
	// A CronJob's Jobs carry metadata, too: there Istio's kube-inject puts it, made from the Jobs' own, and tools that list Jobs look for it.
	if (kind === "CronJob" && group === "batch") return { path: ["spec", "jobTemplate", "spec", "template"], metadataPath: ["spec", "jobTemplate", "metadata"] };
	return Object.hasOwn(templated, group) && templated[group]?.includes(kind) ? { path: ["spec", "template"] } : undefined;
}

/** The template with the labels and annotations that its Jobs have; its own come first. */
function withSharedMetadata(template: Json | undefined, object: JsonObject, path: Path | undefined): Json | undefined {
	const shared = path && valueAt(object, path);
	if (!isJsonObject(shared) || !isJsonObject(template)) return template;
	const own = isJsonObject(template["metadata"]) ? template["metadata"] : {};
	const both = (field: string): JsonObject | undefined => {
		const [outer, inner] = [shared[field], own[field]];
		return isJsonObject(outer) || isJsonObject(inner) ? { ...(isJsonObject(outer) ? outer : {}), ...(isJsonObject(inner) ? inner : {}) } : undefined;
	};
	return { ...template, metadata: { ...own, labels: both("labels"), annotations: both("annotations") } };
}

function workloadOf(object: JsonObject, namespace: string): Workload {
	const metadata = isJsonObject(object["metadata"]) ? object["metadata"] : {};
	const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");
	return {
		name: text(metadata["name"]) || text(metadata["generateName"]),
		namespace: text(metadata["namespace"]) || namespace,
		apiVersion: text(object["apiVersion"]),
		kind: text(object["kind"]),
	};
}

function subjectOf(object: JsonObject): string {
	const { name, namespace, kind } = workloadOf(object, "");
	return `${kind} "${namespace === "" ? "" : `${namespace}/`}${name}"`;
}

function valueAt(object: Json, path: Path): Json | undefined {
	let value: Json | undefined = object;
	for (const key of path) value = isJsonObject(value) ? value[key] : undefined;
	return value;
}

/** Undefined removes. */
function setAt(object: JsonObject, path: Path, value: JsonObject | undefined): JsonObject {
	const [key, ...rest] = path;
	if (key === undefined) return value ?? {};
	if (rest.length === 0) return value ? { ...object, [key]: value } : omit(object, [String(key)]);
	const child = object[key];
	return { ...object, [key]: setAt(isJsonObject(child) ? child : {}, rest, value) };
}
