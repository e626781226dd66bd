import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type MeshView, matchesSelector } from "./mesh-view.ts";

type Configuration = ConfigObject<"MutatingWebhookConfiguration">;
type Labels = Readonly<Record<string, string>>;
type Webhook = NonNullable<Configuration["spec"]["webhooks"]>[number];

interface Place {
	readonly object: Configuration;
	readonly index: number;
	readonly webhook: Webhook;
	/** `CONFIGURATION/WEBHOOK`. */
	readonly title: string;
}

const revisionLabel = "istio.io/rev";
const namespaceLabels: readonly Labels[] = [{}, { "istio-injection": "enabled" }, { "istio-injection": "disabled" }];
const podLabels: readonly Labels[] = [{}, { "sidecar.istio.io/inject": "true" }, { "sidecar.istio.io/inject": "false" }];

/** Webhooks of injection: none asks of a pod that another asks of as well, and each has its control plane. */
export function analyzeWebhooks(view: MeshView): readonly Diagnostic[] {
	const configurations = view.snapshot.all("MutatingWebhookConfiguration").filter((object) => revisionsOf(object).length > 0 || isOfInjection(object));
	const places = configurations.flatMap((object) =>
		(object.spec.webhooks ?? []).map((webhook, index): Place => ({ object, index, webhook, title: `${object.metadata.name}/${webhook.name}` })),
	);
	const revisions = [...new Set(configurations.flatMap(revisionsOf))].sort();
	return [...overlaps(places, revisions), ...places.flatMap((place) => withoutService(view, place))];
}

const isOfInjection = ({ spec }: Configuration): boolean => (spec.webhooks ?? []).some(({ name }) => name.endsWith("istio.io"));

function revisionsOf({ metadata, spec }: Configuration): readonly string[] {
	const said = [metadata.labels[revisionLabel]];
	for (const selector of (spec.webhooks ?? []).flatMap(({ namespaceSelector, objectSelector }) => [namespaceSelector, objectSelector])) {
		said.push(selector?.matchLabels?.[revisionLabel]);
		for (const { key, values = [] } of selector?.matchExpressions ?? []) if (key === revisionLabel) said.push(...values);
	}
	return said.filter((revision) => revision !== undefined);
}

/** Of every pod in every namespace, as far as labels of injection tell them apart. */
function overlaps(places: readonly Place[], revisions: readonly string[]): readonly Diagnostic[] {
	const withRevisions = (bases: readonly Labels[]) => [
		...bases,
		...revisions.flatMap((revision) => bases.map((base): Labels => ({ ...base, [revisionLabel]: revision }))),
	];
	const pods = withRevisions(podLabels);
	const found: Diagnostic[] = [];
	for (const namespace of withRevisions(namespaceLabels)) {
		const here = places.filter(({ webhook }) => matchesSelector(webhook.namespaceSelector, namespace));
		for (const pod of pods) {
			const asked = here.filter(({ webhook }) => matchesSelector(webhook.objectSelector, pod));
			if (asked.length < 2) continue;
			for (const place of asked) found.push(invalid(place, "namespaceSelector", overlapText(asked.filter((other) => other !== place))));
		}
	}
	return found;
}

const overlapText = (others: readonly Place[]): string => {
	const titles = [...new Set(others.map(({ title }) => title))].sort();
	return `Webhook overlaps with others: [${titles.join(" ")}]. This may cause injection to occur twice.`;
};

function withoutService({ snapshot }: MeshView, place: Place): readonly Diagnostic[] {
	const { service } = place.webhook.clientConfig;
	if (service === undefined || snapshot.get("Service", service.namespace, service.name) !== undefined) return [];
	return [invalid(place, "clientConfig", `Injector refers to a control plane service that does not exist: ${service.namespace}/${service.name}.`)];
}

const invalid = ({ object, index }: Place, field: "clientConfig" | "namespaceSelector", message: string): Diagnostic =>
	diagnosticAt(object, "warning", diagnosticCodes.invalidWebhook, ["webhooks", index, field], message);
