import { parseDocument } from "yaml";
import { isJsonObject, type JsonObject, type StringMap } from "../json.ts";
import { mergeStrategic, serviceKeys } from "../pod/strategic-merge.ts";

// https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#automated-deployment: customizing by a ConfigMap

/** The objects that a Gateway is deployed as. */
export interface GatewayParts {
	/** Undefined: it is the user's. */
	readonly serviceAccount?: JsonObject;
	readonly deployment: JsonObject;
	readonly service: JsonObject;
	/** These are made only where a parameter asks for them. */
	readonly horizontalPodAutoscaler?: JsonObject;
	readonly podDisruptionBudget?: JsonObject;
}

export interface ParameterSet {
	/** `ConfigMap namespace/name`. */
	readonly from: string;
	readonly data: StringMap;
}

const partNames = [
	"serviceAccount",
	"deployment",
	"service",
	"horizontalPodAutoscaler",
	"podDisruptionBudget",
] as const satisfies readonly (keyof GatewayParts)[];

/** Keys of a ConfigMap by which it is one of these. */
export const parameterKeys: ReadonlySet<string> = new Set(partNames);

const textBytesMax = 256 * 1024;

type Applied = { readonly parts: GatewayParts; readonly warnings: readonly string[] } | { readonly message: string };

/** Each set's text of a part, as a strategic merge patch over it, in the order of the sets. */
export function applyParameters(
	parts: GatewayParts,
	{ parameters, namespace, deploymentName }: { readonly parameters: readonly ParameterSet[]; readonly namespace: string; readonly deploymentName: string },
	onDemand: Pick<GatewayParts, "horizontalPodAutoscaler" | "podDisruptionBudget">,
): Applied {
	const result: { -readonly [P in keyof GatewayParts]: GatewayParts[P] } = { ...parts };
	const warnings: string[] = [];
	for (const { from, data } of parameters) {
		for (const name of Object.keys(data).filter((key) => !parameterKeys.has(key)))
			warnings.push(`${from}: there is no part "${name}"; have ${partNames.join(", ")}`);
		for (const name of partNames) {
			const text = Object.hasOwn(data, name) ? data[name] : undefined;
			if (text === undefined) continue;
			const patch = parsePatch(text);
			if (typeof patch === "string") return { message: `${from}, ${name}: ${patch}` };
			const base = result[name] ?? onDemand[name as keyof typeof onDemand];
			if (base === undefined) {
				warnings.push(`${from}, ${name}: the service account is named by an annotation; it is left as it is`);
				continue;
			}
			const merged = mergeStrategic(base, patch, name === "service" ? serviceKeys : undefined);
			// It must be found again, and go with its Gateway.
			result[name] = {
				...merged,
				apiVersion: base["apiVersion"],
				kind: base["kind"],
				metadata: pinned(merged["metadata"], base["metadata"], namespace, deploymentName),
			};
		}
	}
	return { parts: result, warnings };
}

function pinned(metadata: unknown, base: unknown, namespace: string, name: string): JsonObject {
	const owners = isJsonObject(base) ? base["ownerReferences"] : undefined;
	return { ...(isJsonObject(metadata) ? metadata : {}), name, namespace, ownerReferences: owners };
}

function parsePatch(text: string): JsonObject | string {
	if (Buffer.byteLength(text) > textBytesMax) return `the text has more than ${textBytesMax} bytes`;
	const document = parseDocument(text, { prettyErrors: true, logLevel: "silent", merge: true });
	const [error] = document.errors;
	if (error) return error.message;
	try {
		const value: unknown = document.toJS({ maxAliasCount: 100 });
		return isJsonObject(value) ? value : "expected an object";
	} catch (thrown) {
		return thrown instanceof Error ? thrown.message : String(thrown);
	}
}
