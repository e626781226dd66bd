import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { injectorValues } from "./injector-values.ts";
import { type MeshView, matchesSelector } from "./mesh-view.ts";

type Namespace = ConfigObject<"Namespace">;
type Pod = ConfigObject<"Pod">;

/** Never injected, so nothing is said of them. */
const outside: ReadonlySet<string> = new Set(["istio-system", "kube-system", "kube-public", "kube-node-lease", "local-path-storage"]);
const injectionLabel = "istio-injection";
const otherLabels = ["istio.io/rev", "istio.io/dataplane-mode"];

/** What a Namespace says of injection, and Pods that should have a proxy and have none. */
export function analyzeInjection(view: MeshView): readonly Diagnostic[] {
	const enabled = new Set(
		view.snapshot
			.all("Namespace")
			.filter(
				({ metadata }) =>
					!outside.has(metadata.name) && metadata.labels["istio.io/dataplane-mode"] !== "ambient" && metadata.labels[injectionLabel] === "enabled",
			)
			.map(({ metadata }) => metadata.name),
	);
	return [
		...view.concerned("Namespace").flatMap((object) => namespaceFindings(view, object)),
		...view.concerned("Pod").flatMap((pod) => podFindings(pod, enabled)),
	];
}

/** Pods that were created without the injection that their `image: auto` waits for, and Deployments whose pods will be. */
export function analyzeAutoImages(view: MeshView): readonly Diagnostic[] {
	const webhooks = view.snapshot
		.all("MutatingWebhookConfiguration")
		.flatMap(({ spec }) => (spec.webhooks ?? []).filter(({ name }) => name.endsWith("istio.io")));
	const deployments = view.concerned("Deployment").flatMap((object) => {
		const { metadata, spec } = object.spec.template;
		// Without any webhook nobody has told which there are.
		if (webhooks.length === 0 || proxyOf({ spec })?.image !== "auto") return [];
		const namespace = view.snapshot.get("Namespace", "", object.metadata.namespace)?.metadata.labels ?? {};
		const isInjected = webhooks.some(
			({ namespaceSelector, objectSelector }) => matchesSelector(namespaceSelector, namespace) && matchesSelector(objectSelector, metadata?.labels ?? {}),
		);
		if (isInjected) return [];
		const message = `Deployment ${object.metadata.name} contains \`image: auto\` but does not match any Istio injection webhook selectors.`;
		return [diagnosticAt(object, "warning", diagnosticCodes.autoImageNotInjected, ["spec", "template", "metadata", "labels"], message)];
	});
	return [...autoPods(view), ...deployments];
}

function autoPods(view: MeshView): readonly Diagnostic[] {
	return view.concerned("Pod").flatMap((object) => {
		if (proxyOf(object)?.image !== "auto") return [];
		const message = `Pod ${object.metadata.name} contains \`image: auto\` but does not match any Istio injection webhook selectors; a pod that was created so is not injected any more`;
		return [diagnosticAt(object, "warning", diagnosticCodes.autoImageWithoutInjection, ["spec", "containers"], message)];
	});
}

const proxyOf = ({ spec }: Pick<Pod, "spec">) => spec.containers.find(({ name }) => name === "istio-proxy");

function namespaceFindings(view: MeshView, object: Namespace): readonly Diagnostic[] {
	const { name, labels } = object.metadata;
	if (outside.has(name)) return [];
	const found: Diagnostic[] = [];
	const injection = labels[injectionLabel];
	const counted = injection === undefined || injection === "enabled" ? [injectionLabel, ...otherLabels] : [injectionLabel];
	const said = counted.flatMap((label) => (labels[label] === undefined ? [] : `${label}=${labels[label]}`));
	if (said.length > 1) {
		const message = `The namespace has more than one type of injection labels [${said.join(" ")}], which may lead to undefined behavior. Make sure only one injection label exists.`;
		found.push(diagnosticAt(object, "warning", diagnosticCodes.multipleInjectionLabels, ["metadata", "labels"], message));
	}
	if (labels["istio.io/dataplane-mode"] === "ambient" || injection || labels["istio.io/rev"] !== undefined) return found;
	if (injectorValues(view, "")?.sidecarInjectorWebhook?.enableNamespacesByDefault) {
		const message = "is enabled for Istio injection, as Istio is installed with enableNamespacesByDefault as true.";
		return [...found, diagnosticAt(object, "info", diagnosticCodes.namespaceInjectedByDefault, ["metadata", "name"], message)];
	}
	const command = (value: string) => `'kubectl label namespace ${name} ${injectionLabel}=${value}'`;
	const message = `The namespace is not enabled for Istio injection. Run ${command("enabled")} to enable it, or ${command("disabled")} to explicitly mark it as not needing injection.`;
	return [...found, diagnosticAt(object, "info", diagnosticCodes.namespaceNotInjected, ["metadata", "name"], message)];
}

function podFindings(object: Pod, enabled: ReadonlySet<string>): readonly Diagnostic[] {
	const { metadata, spec } = object;
	if (proxyOf(object)?.image || spec.initContainers?.some(({ name, image }) => name === "istio-proxy" && image)) return [];
	// A local pod's sidecar is a process of its own.
	if (!enabled.has(metadata.namespace) || spec.hostNetwork === true || metadata.labels["weft.dev/local"] !== undefined) return [];
	const word = metadata.labels["sidecar.istio.io/inject"] ?? metadata.annotations["sidecar.istio.io/inject"];
	if (word?.toLowerCase() === "false") return [];
	const message = `The pod ${metadata.namespace}/${metadata.name} is missing the Istio proxy. This can often be resolved by restarting or redeploying the workload.`;
	return [diagnosticAt(object, "warning", diagnosticCodes.podMissingProxy, [], message)];
}
