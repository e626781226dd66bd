import { diagnosticCodes } from "../diagnostic.ts";
import type { KindInfo } from "../kinds.ts";
import type { ObjectMeta } from "../metadata.ts";
import { bool, int32, labels, list, open, opt, text } from "../schema/builders.ts";
import { isDnsLabel, isDnsSubdomain, labelProblem } from "./names.ts";
import { createReport, type Finding } from "./report.ts";
import { walkSchema } from "./schema-walk.ts";
import { quote } from "./suggestion.ts";

const metadataSchema = open({
	name: opt(text()),
	generateName: opt(text()),
	namespace: opt(text()),
	labels: opt(labels()),
	annotations: opt(labels()),
	creationTimestamp: opt(text()),
	uid: opt(text()),
	resourceVersion: opt(text()),
	generation: opt(int32()),
	ownerReferences: opt(list(open({ apiVersion: text(), kind: text(), name: text(), uid: opt(text()), controller: opt(bool()) }))),
});

interface RawMeta {
	readonly name?: string;
	readonly generateName?: string;
	readonly namespace?: string;
	readonly labels?: Readonly<Record<string, string>>;
	readonly annotations?: Readonly<Record<string, string>>;
	readonly creationTimestamp?: string;
	readonly uid?: string;
	readonly resourceVersion?: string;
	readonly generation?: number;
	readonly ownerReferences?: ObjectMeta["ownerReferences"];
}

/** Reads `metadata`, filling what Kubernetes would: the namespace `default`, empty maps. */
export function walkMetadata(input: unknown, info: KindInfo): { readonly value: ObjectMeta; readonly findings: readonly Finding[] } {
	const walked = walkSchema(metadataSchema, input ?? {}, ["metadata"], { unknownFields: "info" });
	const raw = walked.value as RawMeta;
	const findings = [...walked.findings];
	const report = createReport(findings, ["metadata"]);
	const { name = "", generateName } = raw;
	const code = diagnosticCodes.metadata;
	if (name === "" && !generateName) report.at("name").error("the object needs a name; add metadata.name", code);
	else if (name !== "" && !isDnsSubdomain(name)) report.at("name").error(`${quote(name)} is no valid name; use lower-case letters, digits, "-" and "."`, code);
	const namespace = info.scope === "Cluster" ? "" : (raw.namespace ?? "default") || "default";
	if (namespace !== "" && !isDnsLabel(namespace))
		report.at("namespace").error(`${quote(namespace)} is no valid namespace; use lower-case letters, digits and "-"`, code);
	for (const [key, value] of Object.entries(raw.labels ?? {})) {
		const problem = labelProblem(key, value);
		if (problem) report.at("labels", key).error(problem, code);
	}
	if (raw.creationTimestamp !== undefined && Number.isNaN(Date.parse(raw.creationTimestamp))) {
		report.at("creationTimestamp").error(`${quote(raw.creationTimestamp)} is no time; write RFC 3339, like 2026-01-01T00:00:00Z`, code);
	}
	return { value: toObjectMeta(raw, name, namespace), findings };
}

function toObjectMeta(raw: RawMeta, name: string, namespace: string): ObjectMeta {
	return {
		name,
		namespace,
		labels: raw.labels ?? {},
		annotations: raw.annotations ?? {},
		...(raw.creationTimestamp !== undefined && { creationTimestamp: raw.creationTimestamp }),
		...(raw.generateName !== undefined && { generateName: raw.generateName }),
		...(raw.uid !== undefined && { uid: raw.uid }),
		...(raw.resourceVersion !== undefined && { resourceVersion: raw.resourceVersion }),
		...(raw.generation !== undefined && { generation: raw.generation }),
		...(raw.ownerReferences !== undefined && { ownerReferences: raw.ownerReferences }),
	};
}
