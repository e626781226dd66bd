import { stringify } from "yaml";
import { type Kind, type KindInfo, kindInfo, kindNames } from "./kinds.ts";

type Json = Record<string, unknown>;

/** The kinds that have a CRD, in the order of their file names. */
export const crdKinds: readonly Kind[] = kindNames.filter((kind) => kindInfo(kind).istio).sort();

export const crdFileName = (kind: Kind): string => `crds-${kindInfo(kind).plural}.yaml`;

/** Keywords of a structural schema that pass as they are: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema */
const plainKeywords = [
	"type",
	"enum",
	"minimum",
	"maximum",
	"minItems",
	"minLength",
	"required",
	"x-kubernetes-int-or-string",
	"x-kubernetes-preserve-unknown-fields",
] as const;

/** A schema of ours in the form that a CRD may have: no `additionalProperties: false` (unknown fields are pruned or refused by the API server itself). */
export function toStructuralSchema(schema: object): Json {
	const source = schema as Json;
	const out: Json = {};
	const description = describe(source);
	if (description) out["description"] = description;
	for (const keyword of plainKeywords) if (source[keyword] !== undefined) out[keyword] = source[keyword];
	if (Array.isArray(out["required"]) && out["required"].length === 0) delete out["required"];
	const properties = Object.entries((source["properties"] ?? {}) as Record<string, object>);
	if (properties.length > 0) out["properties"] = Object.fromEntries(properties.map(([name, inner]) => [name, toStructuralSchema(inner)]));
	if (typeof source["additionalProperties"] === "object" && source["additionalProperties"] !== null) {
		out["additionalProperties"] = toStructuralSchema(source["additionalProperties"]);
	}
	if (typeof source["items"] === "object" && source["items"] !== null) out["items"] = toStructuralSchema(source["items"]);
	const groups = (source["x-weft-one-of"] ?? []) as readonly (readonly string[])[];
	if (groups.length === 1 && groups[0]) out["oneOf"] = atMostOne(groups[0]);
	else if (groups.length > 1) out["allOf"] = groups.map((group) => ({ oneOf: atMostOne(group) }));
	return out;
}

function describe(schema: Json): string | undefined {
	const parts = [
		schema["description"],
		schema["x-weft-format"] === "duration" ? 'A duration such as "1.5s", "100ms" or "1h2m".' : undefined,
		schema["x-weft-deprecated"] === undefined ? undefined : `Deprecated: ${String(schema["x-weft-deprecated"])}.`,
	];
	return parts.filter((part) => part !== undefined).join(" ") || undefined;
}

/** A protobuf oneof: none of the fields, or exactly one. */
function atMostOne(group: readonly string[]): readonly Json[] {
	const each = group.map((name) => ({ required: [name] }));
	return [{ not: { anyOf: each } }, ...each];
}

const printerColumns: Readonly<Partial<Record<Kind, readonly Json[]>>> = {
	VirtualService: [
		{ name: "Gateways", type: "string", jsonPath: ".spec.gateways" },
		{ name: "Hosts", type: "string", jsonPath: ".spec.hosts" },
	],
	DestinationRule: [{ name: "Host", type: "string", jsonPath: ".spec.host" }],
	ServiceEntry: [
		{ name: "Hosts", type: "string", jsonPath: ".spec.hosts" },
		{ name: "Location", type: "string", jsonPath: ".spec.location" },
		{ name: "Resolution", type: "string", jsonPath: ".spec.resolution" },
	],
	WorkloadEntry: [{ name: "Address", type: "string", jsonPath: ".spec.address" }],
	AuthorizationPolicy: [{ name: "Action", type: "string", jsonPath: ".spec.action" }],
	PeerAuthentication: [{ name: "Mode", type: "string", jsonPath: ".spec.mtls.mode" }],
};

const ageColumn: Json = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

function version(kind: Kind, info: KindInfo, name: string): Json {
	return {
		name,
		served: true,
		storage: name === info.versions[0],
		additionalPrinterColumns: [...(printerColumns[kind] ?? []), ageColumn],
		subresources: { status: {} },
		schema: {
			openAPIV3Schema: {
				type: "object",
				...(info.specOptional ? {} : { required: ["spec"] }),
				properties: { spec: toStructuralSchema(info.schema), status: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
			},
		},
	};
}

/** The CustomResourceDefinition of one of the mesh's own kinds, with all its versions; the first is stored. */
export function crdYaml(kind: Kind): string {
	const info = kindInfo(kind);
	if (!info.istio) throw new RangeError(`${kind} is a kind of Kubernetes itself and has no CRD`);
	const definition = {
		apiVersion: "apiextensions.k8s.io/v1",
		kind: "CustomResourceDefinition",
		metadata: {
			name: `${info.plural}.${info.group}`,
			// Uninstalling the chart must not delete what users wrote.
			annotations: { "helm.sh/resource-policy": "keep" },
			labels: { app: "weft-pilot", "app.kubernetes.io/part-of": "weft" },
		},
		spec: {
			group: info.group,
			scope: info.scope,
			names: {
				kind,
				listKind: `${kind}List`,
				plural: info.plural,
				singular: kind.toLowerCase(),
				categories: ["istio-io", info.group.replaceAll(".", "-")],
				...(info.shortNames.length > 0 && { shortNames: info.shortNames }),
			},
			versions: info.versions.map((name) => version(kind, info, name)),
		},
	};
	return `# Generated from packages/api/src/schema: edit there, then run packages/api/scripts/generate-crds.ts.\n${stringify(definition, { aliasDuplicateObjects: false, lineWidth: 0 })}`;
}

/** The JSON Schema of a kind's content (`spec`, or the top-level fields of kinds without one), with standard keywords only. */
export function jsonSchemaOf(kind: Kind): Json {
	return { $schema: "https://json-schema.org/draft/2020-12/schema", title: kind, ...closed(kindInfo(kind).schema) };
}

function closed(schema: object): Json {
	const source = schema as Json;
	const out = toStructuralSchema(schema);
	if (source["additionalProperties"] === false) out["additionalProperties"] = false;
	const properties = Object.entries((source["properties"] ?? {}) as Record<string, object>);
	if (properties.length > 0) out["properties"] = Object.fromEntries(properties.map(([name, inner]) => [name, closed(inner)]));
	if (typeof source["additionalProperties"] === "object" && source["additionalProperties"] !== null)
		out["additionalProperties"] = closed(source["additionalProperties"]);
	if (typeof source["items"] === "object" && source["items"] !== null) out["items"] = closed(source["items"]);
	if (source["x-kubernetes-int-or-string"]) out["type"] = ["integer", "string"];
	delete out["x-kubernetes-int-or-string"];
	delete out["x-kubernetes-preserve-unknown-fields"];
	return out;
}
