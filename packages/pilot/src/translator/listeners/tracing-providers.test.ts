import assert from "node:assert/strict";
import { test } from "node:test";
import { unpackAny } from "@weft/xds";
import { OpenTelemetryConfig } from "@weft/xds/generated/envoy/config/trace/v3/opentelemetry.ts";
import { contextOf, createTestMesh } from "../routes/test-mesh.ts";
import { buildTracer } from "./tracing-providers.ts";
import { semanticServiceName } from "./tracing-service-name.ts";

const collector = `
apiVersion: v1
kind: Service
metadata: {name: collector, namespace: obs}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 4318}]}
`;

const nodeOf = (metadata: Readonly<Record<string, unknown>>) => contextOf(createTestMesh().apply(collector), metadata);

test("an exporter over HTTP has a time limit, asked for or not: Envoy refuses an address without one", () => {
	const { node, push } = nodeOf({});
	const service = { service: "collector.obs.svc.cluster.local", port: 4318 };
	const timeoutOf = (timeout?: string) => {
		const opentelemetry = { ...service, http: { path: "/v1/traces", ...(timeout === undefined ? {} : { timeout }) } };
		const tracer = buildTracer({ name: "otel", opentelemetry }, { node, services: push.servicesByHost, isRecent: true });
		const config = unpackAny("envoy.config.trace.v3.OpenTelemetryConfig", OpenTelemetryConfig, tracer?.provider.typedConfig);
		return config?.httpService?.httpUri?.timeout;
	};
	assert.deepEqual(timeoutOf(), { seconds: 3n, nanos: 0 });
	assert.deepEqual(timeoutOf("1s"), { seconds: 1n, nanos: 0 });
});

const labels = { "app.kubernetes.io/instance": "instance", "app.kubernetes.io/name": "name" };
const annotations = { "resource.opentelemetry.io/service.name": "annotated" };
for (const [title, metadata, expected] of [
	["the annotation first", { ANNOTATIONS: annotations, LABELS: labels }, "annotated"],
	["then the instance", { LABELS: labels, WORKLOAD_NAME: "deployment" }, "instance"],
	["then the name of the application", { LABELS: { "app.kubernetes.io/name": "name" } }, "name"],
	["then what owns the pod", { WORKLOAD_NAME: "deployment" }, "deployment"],
	["annotations that are none", { ANNOTATIONS: "text", WORKLOAD_NAME: "deployment" }, "deployment"],
] as const) {
	test(`the name of a service by OpenTelemetry's conventions: ${title}`, () => assert.equal(semanticServiceName(nodeOf(metadata).node), expected));
}
