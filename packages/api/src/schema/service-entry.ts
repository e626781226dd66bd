import { labels, list, map, obj, oneOf, opt, type StaticOf, text, uint32 } from "./builders.ts";
import { servicePortSchema, workloadSelectorSchema } from "./common.ts";

// https://istio.io/latest/docs/reference/config/networking/workload-entry/
export const workloadEntrySchema = obj({
	address: opt(text({ description: "An IP address, a DNS name, or unix:// and a path; may be absent where `network` is set." })),
	ports: opt(map(uint32())),
	labels: opt(labels()),
	network: opt(text()),
	locality: opt(text({ description: "region/zone/subzone" })),
	weight: opt(uint32()),
	serviceAccount: opt(text()),
});
export type WorkloadEntrySpec = StaticOf<typeof workloadEntrySchema>;

export const serviceEntryResolutions = ["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] as const;

// https://istio.io/latest/docs/reference/config/networking/service-entry/
export const serviceEntrySchema = obj({
	hosts: list(text()),
	addresses: opt(list(text())),
	ports: opt(list(servicePortSchema)),
	location: opt(oneOf(["MESH_EXTERNAL", "MESH_INTERNAL"])),
	resolution: opt(oneOf(serviceEntryResolutions)),
	endpoints: opt(list(workloadEntrySchema)),
	workloadSelector: opt(workloadSelectorSchema),
	exportTo: opt(list(text())),
	subjectAltNames: opt(list(text())),
});
export type ServiceEntrySpec = StaticOf<typeof serviceEntrySchema>;
