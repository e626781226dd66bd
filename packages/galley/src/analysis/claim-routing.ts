import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type MeshView, matchesLabels } from "./mesh-view.ts";

const rootNamespace = "istio-system";

/** Gateways that choose routes by claims, and workloads of theirs that have nothing that reads tokens. */
export function analyzeClaimRouting(view: MeshView): readonly Diagnostic[] {
	const authentications = view.snapshot.all("RequestAuthentication");
	return view.snapshot.all("VirtualService").flatMap((object) => {
		const key = claimKeyOf(object);
		if (key === undefined) return [];
		return (object.spec.gateways ?? []).flatMap((reference, i) => {
			const gateway = gatewayNamed(view, reference, object.metadata.namespace);
			if (!gateway) return [];
			const name = `${gateway.metadata.namespace}/${gateway.metadata.name}`;
			const silent = view.workloads.filter(({ namespace, labels }) => {
				if (!matchesLabels(labels, gateway.spec.selector ?? {})) return false;
				const near = authentications.filter(({ metadata }) => metadata.namespace === rootNamespace || metadata.namespace === namespace);
				return !near.some(({ spec }) => matchesLabels(labels, spec.selector?.matchLabels ?? {}));
			});
			return silent.map((workload) => {
				const message = `The virtual service uses the JWT claim based routing (key: ${key}) but found no request authentication for the gateway (${name}) pod (${workload.name}). The request authentication must first be applied for the gateway pods to validate the JWT token and make the claims available for routing.`;
				return diagnosticAt(object, "warning", diagnosticCodes.claimRoutingWithoutAuthentication, ["spec", "gateways", i], message);
			});
		});
	});
}

function claimKeyOf({ spec }: ConfigObject<"VirtualService">): string | undefined {
	return (spec.http ?? [])
		.flatMap(({ match }) => match ?? [])
		.flatMap(({ headers, withoutHeaders }) => [...Object.keys(headers ?? {}), ...Object.keys(withoutHeaders ?? {})])
		.find((name) => name.toLowerCase().startsWith("@request.auth.claims"));
}

function gatewayNamed(view: MeshView, name: string, namespace: string): ConfigObject<"Gateway"> | undefined {
	const [owner, own] = name.includes("/") ? (name.split("/") as [string, string]) : [namespace, name];
	return view.snapshot.get("Gateway", owner, own);
}
