import { type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import type { MeshView } from "./mesh-view.ts";

const variable = "BLOCKED_CIDRS_IN_JWKS_URIS";
const namesMax = 5;

/** Whoever may write a RequestAuthentication makes the control plane fetch an address of its network. */
export function analyzeJwksNetworks(view: MeshView): readonly Diagnostic[] {
	const fetching = view.snapshot.all("RequestAuthentication").map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
	if (fetching.length === 0) return [];
	return view.concerned("Deployment").flatMap((object) => {
		const isRestricted = object.spec.template.spec.containers.some(({ env = [] }) => env.some(({ name, value }) => name === variable && value));
		if (object.metadata.labels["app"] !== "istiod" || isRestricted) return [];
		const more = fetching.length > namesMax ? `, and ${fetching.length - namesMax} more` : "";
		const message = `${variable} is not configured but ${fetching.length} RequestAuthentication resource(s) exist (${fetching.slice(0, namesMax).join(", ")}${more}). Consider configuring it to restrict JWKS URI fetches to trusted networks.`;
		return [diagnosticAt(object, "warning", diagnosticCodes.unrestrictedJwksFetch, ["spec", "template", "spec", "containers"], message)];
	});
}
