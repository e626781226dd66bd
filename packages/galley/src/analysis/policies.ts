import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type MeshView, matchesLabels } from "./mesh-view.ts";

/** A namespace that a policy names and nobody has made: the rule matches nothing, or everything. Patterns are not looked up. */
export function analyzePolicyNamespaces(view: MeshView): readonly Diagnostic[] {
	const known = new Set(view.snapshot.all("Namespace").map(({ metadata }) => metadata.name));
	// Without any Namespace the configuration is not of a cluster: then nothing is said of them.
	if (known.size === 0) return [];
	return view.snapshot.all("AuthorizationPolicy").flatMap((object) =>
		(object.spec.rules ?? []).flatMap(({ from }, i) =>
			(from ?? []).flatMap(({ source }, j) =>
				(["namespaces", "notNamespaces"] as const).flatMap((field) =>
					(source?.[field] ?? []).flatMap((name, k) => {
						if (name.includes("*") || known.has(name)) return [];
						const path = ["spec", "rules", i, "from", j, "source", field, k];
						return [diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, path, `Referenced namespace not found: "${name}"`)];
					}),
				),
			),
		),
	);
}

/** Gateways that choose routes by claims, and have nothing that reads tokens. */
export function analyzeClaimRouting(view: MeshView): readonly Diagnostic[] {
	const authentications = view.snapshot.all("RequestAuthentication").filter(({ spec }) => spec.jwtRules?.length);
	const reads = (selector: Readonly<Record<string, string>>) =>
		authentications.some(
			({ spec }) => spec.targetRef !== undefined || Boolean(spec.targetRefs?.length) || matchesLabels(selector, spec.selector?.matchLabels ?? {}),
		);
	return view.snapshot.all("VirtualService").flatMap((object) => {
		const key = claimKeyOf(object);
		if (key === undefined) return [];
		const silent = (object.spec.gateways ?? []).filter((name) => {
			const gateway = gatewayNamed(view, name, object.metadata.namespace);
			return gateway !== undefined && !reads(gateway.spec.selector ?? {});
		});
		return silent.map((name) => {
			const message = `The virtual service uses the JWT claim based routing (key: ${key}) but found no request authentication for the gateway (${name}); the routing rule will not match without one`;
			return diagnosticAt(object, "warning", diagnosticCodes.claimRoutingWithoutAuthentication, ["spec", "gateways"], message);
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
