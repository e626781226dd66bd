import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { injectPod } from "./inject-pod.ts";
import type { JsonObject } from "./json.ts";
import { injectObject, uninjectObject } from "./offline.ts";
import { decodePod, type Pod } from "./pod/pod.ts";
import { reviewInjection } from "./review.ts";
import { decodeInjectorSettings } from "./settings/settings.ts";

const { value: settings } = decodeInjectorSettings({ valuesJson: "", configYaml: "", meshConfig: {}, revision: "" });
/** The same cases each run; another one finds others. */
const seed = Number(process.env["WEFT_FUZZ_SEED"] ?? 1);
const facts = { namespace: { name: "shop" }, hasNativeSidecars: false };

const annotationNames = [
	...["inject", "status", "interceptionMode", "proxyImage", "proxyImageType", "proxyCPU", "proxyMemory", "proxyCPULimit", "proxyMemoryLimit", "logLevel"],
	...["componentLogLevel", "agentLogLevel", "userVolume", "userVolumeMount", "bootstrapOverride", "nativeSidecar", "rewriteAppHTTPProbers", "enableCoreDump"],
	...["capNetBindService", "init-containers-before-proxy"],
].map((name) => `sidecar.istio.io/${name}`);
const otherNames = [
	...["includeInboundPorts", "excludeInboundPorts", "includeOutboundPorts", "excludeOutboundPorts", "includeOutboundIPRanges", "excludeOutboundIPRanges"].map(
		(name) => `traffic.sidecar.istio.io/${name}`,
	),
	...[
		"proxy.istio.io/config",
		"proxy.istio.io/overrides",
		"inject.istio.io/templates",
		"status.sidecar.istio.io/port",
		"prometheus.io/port",
		"prometheus.io/scrape",
	],
	...["readiness.status.sidecar.istio.io/periodSeconds", "prometheus.istio.io/merge-metrics", "istio.io/reroute-virtual-interfaces"],
];

/** What people write, what breaks out of quotes, and what is only half right. */
const text = fc.oneof(
	fc.string({ unit: "binary", maxLength: 12 }),
	fc.constantFrom(
		"true",
		"false",
		"",
		"0",
		"80,443",
		"*",
		"10.0.0.0/8",
		"TPROXY",
		"NONE",
		"gateway",
		"sidecar",
		'"\n- name: x',
		"{}",
		"[]",
		"null",
		'{"containers":[{"name":"istio-proxy"}]}',
	),
	fc.constantFrom(
		'{"initContainers":[null]}',
		'{"containers":[{"name":"istio-proxy","env":"x"}]}',
		'{"containers":["istio-proxy"],"initContainers":["istio-init"]}',
		"concurrency: 2",
		"proxyMetadata: {A: b}",
		"&a [*a]",
		'[{"name":"__proto__"}]',
	),
	fc.json({ maxDepth: 2 }),
);
const annotations = fc.dictionary(fc.constantFrom(...annotationNames, ...otherNames), text, { maxKeys: 5 });

suite("whatever is written", () => {
	test("sec/f54: a value changes its own scalar, or is refused; nothing breaks out of it", () => {
		const breakouts = [
			'"\n- name: evil\n  image: evil',
			"x\n    privileged: true",
			"{{ .Values }}",
			"{}",
			"a: b",
			"'",
			'"',
			"\\",
			"${x}",
			"$(x)",
			"<script>",
			"\u0000",
			"- evil",
		];
		const inject = (annotations: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>> = {}) => {
			const pod: Pod = {
				metadata: { annotations, labels },
				spec: { containers: [{ name: "app", image: "i", env: [{ name: "A", value: labels["app"] ?? "" }] }] },
			};
			return injectPod(pod, settings, facts);
		};
		const plain = inject({});
		assert.equal(plain.kind, "injected");
		/** Every path with its value; what differs from the plain pod is told by path. */
		const leaves = (value: unknown, path = ""): readonly (readonly [string, unknown])[] =>
			typeof value === "object" && value !== null ? Object.entries(value).flatMap(([name, item]) => leaves(item, `${path}/${name}`)) : [[path, value]];
		const before = new Map(plain.kind === "injected" ? leaves(plain.pod.spec) : []);
		let injected = 0;
		for (const name of [...annotationNames, ...otherNames]) {
			for (const value of breakouts) {
				const result = inject({ [name]: value }, { app: value });
				if (result.kind !== "injected") continue;
				injected++;
				const { containers, initContainers = [], volumes = [] } = result.pod.spec;
				const names = [...containers, ...initContainers].map((container) => container.name).sort();
				assert.deepEqual(names, ["app", "istio-init", "istio-proxy"], `${name}: ${value}`);
				for (const container of [...containers, ...initContainers]) assert.notEqual(container.image, "evil", name);
				assert.ok(!volumes.some((volume) => volume.name === "evil"), name);
				// None of these values asks for other rights, and so none gets any.
				const rights = (of: readonly (readonly [string, unknown])[]) =>
					of.filter(([path, leaf]) => /\/(?:privileged|host[A-Z]\w*)$/.test(path) && leaf === true);
				assert.deepEqual(rights(leaves(result.pod.spec)), rights([...before]), `${name}=${JSON.stringify(value)}`);
			}
		}
		assert.ok(injected > 100, `${injected} were injected`);
	});

	test("annotations are injected, skipped or refused, and change no container of the user's but its probes", () => {
		fc.assert(
			fc.property(annotations, fc.boolean(), (values, isNative) => {
				const pod: Pod = {
					metadata: { annotations: { ...values } },
					spec: { containers: [{ name: "app", image: "i", args: ["x"] }], volumes: [{ name: "v" }] },
				};
				const result = injectPod(pod, settings, { ...facts, hasNativeSidecars: isNative });
				if (result.kind !== "injected") return;
				const known = new Set(["app", "istio-proxy", "istio-init"]);
				const { containers, initContainers = [], volumes = [] } = result.pod.spec;
				for (const { name } of [...containers, ...initContainers]) assert.ok(known.has(name), name);
				assert.deepEqual(
					containers.find(({ name }) => name === "app"),
					pod.spec.containers[0],
				);
				assert.ok(volumes.some(({ name }) => name === "v"));
			}),
			{ numRuns: 1_000 },
		);
	});

	const json = fc.jsonValue({ maxDepth: 3 });
	const mostly = (arbitrary: fc.Arbitrary<unknown>) => fc.oneof({ weight: 25, arbitrary }, { weight: 1, arbitrary: json });
	const port = fc.oneof(fc.integer(), fc.string({ maxLength: 5 }));
	const handler = { httpGet: mostly(fc.record({ port, path: text, scheme: fc.constantFrom("HTTP", "HTTPS") })), tcpSocket: mostly(fc.record({ port })) };
	const probe = mostly(fc.record({ ...handler, grpc: mostly(fc.record({ port: fc.integer() })), timeoutSeconds: json }, { requiredKeys: [] }));
	const container = fc.record(
		{
			name: fc.constantFrom("app", "istio-proxy", "istio-init", "__proto__"),
			image: mostly(fc.constantFrom("auto", "i")),
			env: mostly(fc.array(fc.record({ name: fc.constantFrom("TRUST_DOMAIN", "ISTIO_KUBE_APP_PROBERS"), value: text }), { maxLength: 3 })),
			ports: mostly(fc.array(fc.record({ containerPort: fc.integer() }), { maxLength: 2 })),
			volumeMounts: mostly(fc.array(fc.record({ name: text, mountPath: text }), { maxLength: 2 })),
			resources: mostly(fc.dictionary(fc.constantFrom("limits", "requests", "__proto__"), json)),
			securityContext: mostly(fc.record({ runAsUser: json })),
			livenessProbe: probe,
			readinessProbe: probe,
			lifecycle: mostly(fc.record({ preStop: mostly(fc.record(handler, { requiredKeys: [] })) })),
		},
		{ requiredKeys: ["name"] },
	);
	const spec = mostly(
		fc.record(
			{
				containers: mostly(fc.array(container, { minLength: 1, maxLength: 2 })),
				initContainers: mostly(fc.array(container, { maxLength: 2 })),
				volumes: mostly(fc.constant([{ name: "v" }])),
			},
			{ requiredKeys: ["containers"] },
		),
	);
	const object = fc.record({ metadata: mostly(fc.record({ annotations, labels: mostly(fc.constant({})) })), spec }, { requiredKeys: ["spec"] });

	test("objects of any shape are taken or refused, never thrown at", () => {
		const seen = new Map<string, number>();
		fc.assert(
			fc.property(object, (value) => {
				const decoded = decodePod(value);
				const kind = "pod" in decoded ? injectPod(decoded.pod, settings, facts).kind : "malformed";
				seen.set(kind, (seen.get(kind) ?? 0) + 1);
				const workload = { apiVersion: "apps/v1", kind: "Deployment", metadata: null, spec: { template: value } } as unknown as JsonObject;
				uninjectObject(injectObject(workload, settings, { namespace: "shop", hasNativeSidecars: true }).object);
				const body = JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: { uid: "u", object: value } });
				const answer = reviewInjection({ body, path: "/inject" }, settings, { factsOf: () => facts });
				assert.equal(answer.status, 200);
			}),
			{ numRuns: 500, seed },
		);
		for (const kind of ["injected", "error", "malformed"]) assert.ok((seen.get(kind) ?? 0) > 3, JSON.stringify([...seen]));
	});
});
