import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type InjectorValues, injectorValues } from "./injector-values.ts";
import type { MeshView } from "./mesh-view.ts";

type Pod = ConfigObject<"Pod">;

/** Pods that have been running since before an upgrade keep the proxy that they were injected with. */
export function analyzeProxyImages(view: MeshView): readonly Diagnostic[] {
	const pods = Map.groupBy(view.snapshot.all("Pod"), ({ metadata }) => metadata.namespace);
	return view.concerned("Namespace").flatMap((object) => {
		const { name, labels } = object.metadata;
		const revision = labels["istio.io/rev"] ?? (labels["istio-injection"] === "enabled" ? "default" : undefined);
		if (revision === undefined) return [];
		const values = injectorValues(view, revision);
		if (values === undefined) return [];
		const wanted = imageOf(values);
		const outdated = (pods.get(name) ?? []).filter((pod) => runsAnother(pod, wanted)).map(({ metadata }) => metadata.name);
		if (outdated.length === 0) return [];
		const message = `The Istio proxy images of the pods running in the namespace do not match the image defined in the injection configuration (pod names: [${outdated.sort().join(" ")}]). This often happens after upgrading the Istio control-plane and can be fixed by redeploying the pods.`;
		return [diagnosticAt(object, "warning", diagnosticCodes.proxyImageMismatch, ["metadata", "name"], message)];
	});
}

function imageOf({ global: { hub = "", tag = "", proxy } = {} }: InjectorValues): string {
	const image = proxy?.image ?? "";
	return image.includes("/") ? image : `${hub}/${image}:${tag}`;
}

/** A pod that names its own image has it on purpose; so it is with the type of an image. */
function runsAnother({ metadata, spec }: Pod, wanted: string): boolean {
	if (metadata.annotations["sidecar.istio.io/proxyImage"]) return false;
	const proxies = [...spec.containers, ...(spec.initContainers ?? [])].filter(({ name }) => name === "istio-proxy");
	return proxies.some(({ image = "" }) => withoutType(image) !== withoutType(wanted));
}

const withoutType = (image: string): string => image.replace(/-(distroless|debug)$/, "");
