import { annotationsOf } from "../pod/pod.ts";
import { annotationOr, type TemplateInput } from "./input.ts";

const imageTypes = ["distroless", "debug"] as const;

/** A name with a slash is a whole image; any other stands for hub, name and tag of the values. */
export function proxyImage(input: TemplateInput, configured: string): string {
	const chosen = annotationOr(input, "sidecar.istio.io/proxyImage", configured);
	if (chosen.includes("/")) return chosen;
	const { hub, tag, proxy } = input.settings.values;
	const type = annotationsOf(input.pod)["sidecar.istio.io/proxyImageType"] ?? input.proxyConfig.image?.imageType ?? "";
	return `${hub}/${proxy.image}:${tagOfType(tag, type)}`;
}

function tagOfType(tag: string, type: string): string {
	if (type === "") return tag;
	const suffix = imageTypes.map((name) => `-${name}`).find((end) => tag.endsWith(end));
	const plain = suffix === undefined ? tag : tag.slice(0, -suffix.length);
	return type === "default" ? plain : `${plain}-${type}`;
}
