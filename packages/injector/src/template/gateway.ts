import type { JsonObject } from "../json.ts";
import type { Container } from "../pod/pod.ts";
import type { PodOverlay, TemplateInput } from "./input.ts";
import { canonicalLabels, commonAnnotations } from "./metadata.ts";
import { proxyContainer, readinessProbe } from "./proxy-container.ts";
import { proxyVolumes } from "./volumes.ts";

/** Of the pod: users that are not root may listen on 80 and 443. */
export const gatewaySecurityContext: JsonObject = { sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }] };

/** The template `gateway`: the pod's own istio-proxy container becomes a proxy of the edge; nothing is captured. */
export function gatewayOverlay(input: TemplateInput): PodOverlay {
	const { values } = input.settings;
	const { proxy } = values;
	const container: Container & JsonObject = {
		...proxyContainer(input, "router"),
		...(Object.keys(proxy.lifecycle).length > 0 && { lifecycle: proxy.lifecycle }),
		readinessProbe: readinessProbe(input.settings.values.proxy),
		securityContext: { runAsUser: 1337, runAsGroup: 1337 },
	};
	return {
		metadata: { labels: canonicalLabels(input), annotations: commonAnnotations(input) },
		spec: {
			securityContext: gatewaySecurityContext,
			containers: [container],
			volumes: proxyVolumes(input, "router"),
			...(values.imagePullSecrets.length > 0 && { imagePullSecrets: values.imagePullSecrets.map((name) => ({ name })) }),
		},
	};
}
