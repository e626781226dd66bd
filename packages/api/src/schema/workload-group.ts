import { int32, labels, list, obj, opt, type StaticOf, text, uint32 } from "./builders.ts";
import { workloadEntrySchema } from "./service-entry.ts";

// https://istio.io/latest/docs/reference/config/networking/workload-group/

const httpGetSchema = obj({
	path: opt(text()),
	port: uint32(),
	host: opt(text()),
	scheme: opt(text()),
	httpHeaders: opt(list(obj({ name: opt(text()), value: opt(text()) }))),
});

const probeSchema = obj(
	{
		initialDelaySeconds: opt(int32()),
		timeoutSeconds: opt(int32()),
		periodSeconds: opt(int32()),
		successThreshold: opt(int32()),
		failureThreshold: opt(int32()),
		httpGet: opt(httpGetSchema),
		tcpSocket: opt(obj({ host: opt(text()), port: uint32() })),
		exec: opt(obj({ command: list(text()) })),
		grpc: opt(obj({ port: opt(uint32()), service: opt(text()) })),
	},
	{ "x-weft-one-of": [["httpGet", "tcpSocket", "exec", "grpc"]] },
);
export type ReadinessProbe = StaticOf<typeof probeSchema>;

export const workloadGroupSchema = obj({
	metadata: opt(obj({ labels: opt(labels()), annotations: opt(labels()) })),
	template: workloadEntrySchema,
	probe: opt(probeSchema),
});
export type WorkloadGroupSpec = StaticOf<typeof workloadGroupSchema>;
