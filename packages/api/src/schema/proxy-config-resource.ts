import { int32, labels, obj, opt, type StaticOf, text } from "./builders.ts";
import { matchLabelsSelectorSchema } from "./common.ts";

/** https://istio.io/latest/docs/reference/config/networking/proxy-config/ (not mesh.v1alpha1.ProxyConfig, of which it sets a part). */
export const proxyConfigResourceSchema = obj({
	selector: opt(matchLabelsSelectorSchema),
	concurrency: opt(int32({ description: "Worker threads; 0: one a CPU." })),
	environmentVariables: opt(labels()),
	image: opt(obj({ imageType: opt(text()) })),
});
export type ProxyConfigSpec = StaticOf<typeof proxyConfigResourceSchema>;
