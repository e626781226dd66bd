import type { ConfigObject } from "@weft/api";
import type { MeshView } from "./mesh-view.ts";

/** `istio-sidecar-injector`, or with `-REVISION`: by what injection makes pods. */
export const injectorConfigMap = "istio-sidecar-injector";

/** What analyzers read of the key `values`. */
export interface InjectorValues {
	readonly global?: { readonly hub?: string; readonly tag?: string; readonly proxy?: { readonly image?: string } };
	readonly sidecarInjectorWebhook?: { readonly enableNamespacesByDefault?: boolean };
}

/** Of a revision; undefined where there is no such ConfigMap, or none that can be read. */
export function injectorValues({ snapshot }: MeshView, revision: string): InjectorValues | undefined {
	const wanted = revision === "" || revision === "default" ? injectorConfigMap : `${injectorConfigMap}-${revision}`;
	const found = snapshot.all("ConfigMap").find(({ metadata }) => metadata.name === wanted);
	return found && parse(found);
}

function parse({ spec }: ConfigObject<"ConfigMap">): InjectorValues | undefined {
	try {
		return JSON.parse(spec.data?.["values"] ?? "") as InjectorValues;
	} catch {
		return undefined;
	}
}
