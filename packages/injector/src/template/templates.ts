import { annotationsOf } from "../pod/pod.ts";
import { gatewayOverlay } from "./gateway.ts";
import { InjectionError, type PodOverlay, type TemplateInput } from "./input.ts";
import { sidecarOverlay } from "./sidecar.ts";

const templates: Readonly<Record<string, (input: TemplateInput) => PodOverlay>> = { sidecar: sidecarOverlay, gateway: gatewayOverlay };

/** Istio's, which this injector does not have. */
const notImplemented = new Set(["grpc-simple", "grpc-agent", "waypoint", "spire"]);

/** The overlays that the pod asks for by inject.istio.io/templates, or the default ones; aliases are replaced once. Throws InjectionError. */
export function buildOverlays(input: TemplateInput): readonly PodOverlay[] {
	const { aliases, defaultTemplates } = input.settings;
	const { "inject.istio.io/templates": asked } = annotationsOf(input.pod);
	const names = (asked?.split(",").map((name) => name.trim()) ?? defaultTemplates).flatMap((name) =>
		Object.hasOwn(aliases, name) ? (aliases[name] ?? []) : [name],
	);
	return names.map((name) => {
		const build = Object.hasOwn(templates, name) ? templates[name] : undefined;
		if (build) return build(input);
		if (notImplemented.has(name))
			throw new InjectionError(`template "${name}" is not implemented by this version of Weft; have ${Object.keys(templates).sort().join(", ")}`);
		throw new InjectionError(`requested template "${name}" not found; have ${Object.keys(templates).sort().join(", ")}`);
	});
}
