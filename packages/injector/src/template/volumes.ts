import { isJsonObject, type Json, type JsonObject, omit } from "../json.ts";
import { annotationsOf } from "../pod/pod.ts";
import { InjectionError, type TemplateInput } from "./input.ts";

type Named = { readonly name: string } & JsonObject;

export type ProxyRole = "sidecar" | "router";

/** Volumes of the proxy. One without a source is an emptyDir: the API server fills that in. */
export function proxyVolumes(input: TemplateInput, role: ProxyRole): readonly Named[] {
	const { values } = input.settings;
	const bootstrap = annotationsOf(input.pod)["sidecar.istio.io/bootstrapOverride"];
	const emptyDir = role === "sidecar" ? {} : { emptyDir: {} };
	return [
		{ name: "workload-socket" },
		{ name: "credential-socket", ...emptyDir },
		{ name: "workload-certs", ...emptyDir },
		...(bootstrap ? [{ name: "custom-bootstrap-volume", configMap: { name: bootstrap } }] : []),
		{ name: "istio-envoy", emptyDir: { medium: "Memory" } },
		{ name: "istio-data", emptyDir: {} },
		{
			name: "istio-podinfo",
			downwardAPI: {
				items: [
					{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
					{ path: "annotations", fieldRef: { fieldPath: "metadata.annotations" } },
				],
			},
		},
		{
			name: "istio-token",
			projected: { sources: [{ serviceAccountToken: { path: "istio-token", expirationSeconds: 43200, audience: values.tokenAudience } }] },
		},
		...(usesMeshRoot(input)
			? [
					{ name: "istiod-ca-cert", configMap: { name: "istio-ca-root-cert" } },
					...(role === "sidecar" ? [{ name: "istio-ca-crl", configMap: { name: "istio-ca-crl", optional: true } }] : []),
				]
			: []),
		...userItems(input, "sidecar.istio.io/userVolume"),
	];
}

export function proxyVolumeMounts(input: TemplateInput, role: ProxyRole): readonly JsonObject[] {
	const hasBootstrap = Boolean(annotationsOf(input.pod)["sidecar.istio.io/bootstrapOverride"]);
	return [
		{ name: "workload-socket", mountPath: "/var/run/secrets/workload-spiffe-uds" },
		{ name: "credential-socket", mountPath: "/var/run/secrets/credential-uds" },
		{ name: "workload-certs", mountPath: "/var/run/secrets/workload-spiffe-credentials" },
		...(usesMeshRoot(input)
			? [
					{ name: "istiod-ca-cert", mountPath: "/var/run/secrets/istio" },
					...(role === "sidecar" ? [{ name: "istio-ca-crl", mountPath: "/var/run/secrets/istio/crl" }] : []),
				]
			: []),
		{ name: "istio-data", mountPath: "/var/lib/istio/data" },
		...(hasBootstrap ? [{ name: "custom-bootstrap-volume", mountPath: "/etc/istio/custom-bootstrap" }] : []),
		{ name: "istio-envoy", mountPath: "/etc/istio/proxy" },
		{ name: "istio-token", mountPath: "/var/run/secrets/tokens" },
		{ name: "istio-podinfo", mountPath: "/etc/istio/pod" },
		...userItems(input, "sidecar.istio.io/userVolumeMount"),
	];
}

/** Roots that the control plane hands out; another provider's are Kubernetes' own. */
const usesMeshRoot = ({ settings }: TemplateInput): boolean => /^(?:istiod$|k8s\.io\/)/.test(settings.values.pilotCertProvider);

/** Volumes or mounts of the user's own: JSON, a list of named items or an object of items by name. */
function userItems({ pod }: TemplateInput, annotation: string): readonly Named[] {
	const text = annotationsOf(pod)[annotation];
	if (text === undefined || text === "") return [];
	const fail = (reason: string): never => {
		throw new InjectionError(`invalid value for annotation '${annotation}': ${reason}`);
	};
	let parsed: Json;
	try {
		parsed = JSON.parse(text) as Json;
	} catch (error) {
		return fail(`it is no JSON: ${error instanceof Error ? error.message : String(error)}`);
	}
	const items: readonly Json[] = Array.isArray(parsed)
		? parsed
		: isJsonObject(parsed)
			? Object.entries(parsed)
					.sort(([a], [b]) => (a < b ? -1 : 1))
					.map(([name, item]) => (isJsonObject(item) ? { name, ...item } : null))
			: fail("expected a list or an object");
	return items.map((item): Named => {
		if (!isJsonObject(item) || typeof item["name"] !== "string" || item["name"] === "") return fail("each item is an object with a name");
		return { ...omit(item, ["name"]), name: item["name"] };
	});
}
