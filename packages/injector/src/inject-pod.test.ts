import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { ConfigObject, MeshConfig } from "@weft/api";
import { injectPod, type InjectionFacts } from "./inject-pod.ts";
import type { JsonObject } from "./json.ts";
import { type Container, decodePod, findProxy, type Pod } from "./pod/pod.ts";
import { decodeInjectorSettings } from "./settings/settings.ts";
import { uninjectPod } from "./uninject.ts";

interface Case {
	readonly annotations?: Readonly<Record<string, string>>;
	readonly labels?: Readonly<Record<string, string>>;
	readonly metadata?: object;
	readonly spec?: object;
	readonly values?: object;
	readonly mesh?: MeshConfig;
	readonly facts?: Partial<InjectionFacts>;
	readonly revision?: string;
}

function podOf({ annotations, labels, metadata, spec }: Case): Pod {
	const decoded = decodePod({
		metadata: { name: "web", ...metadata, ...(labels && { labels }), ...(annotations && { annotations }) },
		spec: { containers: [{ name: "app" }], ...spec },
	});
	assert.ok("pod" in decoded, JSON.stringify(decoded));
	return decoded.pod;
}

function run(input: Case, pod = podOf(input)) {
	const { value, diagnostics } = decodeInjectorSettings({
		valuesJson: JSON.stringify(input.values ?? {}),
		configYaml: "",
		meshConfig: input.mesh ?? {},
		revision: input.revision ?? "",
	});
	assert.deepEqual(diagnostics, []);
	return injectPod(pod, value, { namespace: { name: "shop" }, hasNativeSidecars: false, ...input.facts });
}

function inject(input: Case, pod = podOf(input)): Pod {
	const result = run(input, pod);
	assert.equal(result.kind, "injected", JSON.stringify(result));
	if (result.kind !== "injected") throw new Error("unreachable");
	return result.pod;
}

const proxyOf = (pod: Pod): Container & JsonObject => findProxy(pod) ?? assert.fail("no proxy");
const envOf = (pod: Pod, name: string): string | undefined => proxyOf(pod).env?.find((entry) => entry.name === name)?.value;
const names = (containers: readonly Container[] | undefined): readonly string[] => (containers ?? []).map(({ name }) => name);
const argOf = (pod: Pod, flag: string): string | undefined => {
	const args = pod.spec.initContainers?.find(({ name }) => name === "istio-init")?.args ?? [];
	return args.includes(flag) ? args[args.indexOf(flag) + 1] : undefined;
};

suite("order of containers", () => {
	const spec = { containers: [{ name: "app" }, { name: "log" }], initContainers: [{ name: "migrate" }, { name: "fetch" }] };
	for (const [name, input, init, containers] of [
		["plain: the rules come last", { spec }, ["migrate", "fetch", "istio-init"], ["app", "log", "istio-proxy"]],
		["native by the nodes", { spec, facts: { hasNativeSidecars: true } }, ["istio-init", "istio-proxy", "migrate", "fetch"], ["app", "log"]],
		[
			"native by annotation",
			{ spec, annotations: { "sidecar.istio.io/nativeSidecar": "true" } },
			["istio-init", "istio-proxy", "migrate", "fetch"],
			["app", "log"],
		],
		[
			"plain by annotation",
			{ spec, annotations: { "sidecar.istio.io/nativeSidecar": "false" }, facts: { hasNativeSidecars: true } },
			["migrate", "fetch", "istio-init"],
			["app", "log", "istio-proxy"],
		],
		[
			"native, one init container before the proxy",
			{ spec, annotations: { "sidecar.istio.io/nativeSidecar": "true", "sidecar.istio.io/init-containers-before-proxy": "fetch" } },
			["istio-init", "fetch", "istio-proxy", "migrate"],
			["app", "log"],
		],
		[
			"the application waits",
			{ spec, annotations: { "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true" } },
			["migrate", "fetch", "istio-init"],
			["istio-proxy", "app", "log"],
		],
		[
			"no interception",
			{ spec: { containers: spec.containers }, annotations: { "sidecar.istio.io/interceptionMode": "NONE" } },
			[],
			["app", "log", "istio-proxy"],
		],
	] as const) {
		test(name, () => {
			const pod = inject(input);
			assert.deepEqual([names(pod.spec.initContainers), names(pod.spec.containers)], [init, containers]);
		});
	}
	test("a native sidecar keeps running, drains, and has no start hook", () => {
		const proxy = proxyOf(inject({ facts: { hasNativeSidecars: true }, mesh: { defaultConfig: { holdApplicationUntilProxyStarts: true } } }));
		assert.equal(proxy["restartPolicy"], "Always");
		assert.deepEqual(proxy.lifecycle, { preStop: { exec: { command: ["weft-proxy", "request", "--debug-port=15020", "POST", "drain"] } } });
	});
	test("a held application's proxy has a start hook", () => {
		const proxy = proxyOf(inject({ mesh: { defaultConfig: { holdApplicationUntilProxyStarts: true } } }));
		assert.deepEqual(proxy.lifecycle, { postStart: { exec: { command: ["weft-proxy", "wait"] } } });
	});
});

suite("probes and hooks", () => {
	const app = (fields: object) => ({ containers: [{ name: "app", ports: [{ name: "http", containerPort: 8080 }], ...fields }] });
	const probers = (pod: Pod): unknown => JSON.parse(envOf(pod, "ISTIO_KUBE_APP_PROBERS") ?? "null");
	test("HTTP with headers, host, TLS, a named port and its timeout", () => {
		const httpGet = { path: "/h", port: "http", host: "h.example", scheme: "HTTPS", httpHeaders: [{ name: "a", value: "b" }] };
		const pod = inject({ spec: app({ startupProbe: { httpGet, timeoutSeconds: 5, periodSeconds: 9 } }) });
		assert.deepEqual(probers(pod), { "/app-health/app/startupz": { httpGet: { ...httpGet, port: 8080 }, timeoutSeconds: 5 } });
		assert.deepEqual(pod.spec.containers[0]?.startupProbe, {
			httpGet: { ...httpGet, scheme: "HTTP", path: "/app-health/app/startupz", port: 15020 },
			timeoutSeconds: 5,
			periodSeconds: 9,
		});
	});
	test("gRPC without a service", () => {
		const pod = inject({ spec: app({ livenessProbe: { grpc: { port: 9000 } } }) });
		assert.deepEqual(probers(pod), { "/app-health/app/livez": { grpc: { port: 9000, service: null } } });
		assert.deepEqual(pod.spec.containers[0]?.livenessProbe, { httpGet: { path: "/app-health/app/livez", port: 15020 } });
	});
	test("hooks over HTTP and TCP; commands stay", () => {
		const lifecycle = { preStop: { httpGet: { path: "/bye", port: 8080 } }, postStart: { tcpSocket: { port: 8080 } } };
		const pod = inject({ spec: app({ lifecycle, readinessProbe: { exec: { command: ["true"] } } }) });
		assert.deepEqual(probers(pod), {
			"/app-lifecycle/app/poststartz": { tcpSocket: { port: 8080 } },
			"/app-lifecycle/app/prestopz": { httpGet: { path: "/bye", port: 8080 } },
		});
		assert.deepEqual(pod.spec.containers[0]?.lifecycle, {
			preStop: { httpGet: { path: "/app-lifecycle/app/prestopz", port: 15020 } },
			postStart: { httpGet: { path: "/app-lifecycle/app/poststartz", port: 15020 } },
		});
		assert.deepEqual(pod.spec.containers[0]?.readinessProbe, { exec: { command: ["true"] } });
	});
	for (const [name, input] of [
		["by annotation", { annotations: { "sidecar.istio.io/rewriteAppHTTPProbers": "false" } }],
		["by values", { values: { sidecarInjectorWebhook: { rewriteAppHTTPProbe: false } } }],
		["without an agent's port", { annotations: { "status.sidecar.istio.io/port": "0" } }],
	] as const) {
		test(`left alone ${name}`, () => {
			const readinessProbe = { tcpSocket: { port: 1 } };
			const pod = inject({ ...input, spec: app({ readinessProbe }) });
			assert.deepEqual(pod.spec.containers[0]?.readinessProbe, readinessProbe);
			assert.equal(envOf(pod, "ISTIO_KUBE_APP_PROBERS"), undefined);
		});
	}
	test("another status port", () => {
		const pod = inject({ annotations: { "status.sidecar.istio.io/port": "16020" }, spec: app({ readinessProbe: { tcpSocket: { port: 1 } } }) });
		assert.deepEqual(pod.spec.containers[0]?.readinessProbe, { httpGet: { path: "/app-health/app/readyz", port: 16020 } });
		assert.equal(argOf(pod, "-d"), "15090,15021,16020");
	});
});

suite("Prometheus", () => {
	const scrape = (pod: Pod) => Object.fromEntries(Object.entries(pod.metadata.annotations ?? {}).filter(([name]) => name.startsWith("prometheus")));
	const agent = { "prometheus.io/scrape": "true", "prometheus.io/port": "15020", "prometheus.io/path": "/stats/prometheus" };
	for (const [name, annotations, mesh, expected, told] of [
		["is pointed at the agent", {}, {}, agent, undefined],
		["any spelling of the names", { "prometheus-io/port": "9" }, {}, agent, '{"scrape":"","path":"","port":"9"}'],
		["not where scraping is off", { "prometheus.io/scrape": "false" }, {}, { "prometheus.io/scrape": "false" }, undefined],
		["not where the mesh does not merge", {}, { enablePrometheusMerge: false }, {}, undefined],
		[
			"the pod's word comes before the mesh's",
			{ "prometheus.istio.io/merge-metrics": "true" },
			{ enablePrometheusMerge: false },
			{ "prometheus.istio.io/merge-metrics": "true", ...agent },
			undefined,
		],
		["the user's own way to the agent stays", { "prometheus.io/port": "15020" }, {}, { "prometheus.io/port": "15020" }, undefined],
	] as const) {
		test(name, () => {
			const pod = inject({ annotations, mesh });
			assert.deepEqual(scrape(pod), expected);
			assert.equal(envOf(pod, "ISTIO_PROMETHEUS_ANNOTATIONS"), told);
		});
	}
});

function proxyConfigResource(name: string, namespace: string, spec: ConfigObject<"ProxyConfig">["spec"], second = 0): ConfigObject<"ProxyConfig"> {
	const creationTimestamp = new Date(second * 1000 + 1).toISOString();
	return {
		apiVersion: "networking.istio.io/v1beta1",
		kind: "ProxyConfig",
		metadata: { name, namespace, labels: {}, annotations: {}, creationTimestamp },
		spec,
	};
}

suite("the proxy's configuration", () => {
	test("mesh, resource and annotation, the later first; only what differs from the agent's defaults", () => {
		const pod = inject({
			mesh: { defaultConfig: { concurrency: 1, drainDuration: "45s", proxyMetadata: { A: "mesh", B: "mesh" } } },
			facts: { proxyConfigs: [proxyConfigResource("a", "shop", { concurrency: 2 })] },
			annotations: { "proxy.istio.io/config": "proxyMetadata:\n  B: pod\n  ISTIO_META_DNS_CAPTURE: 'true'\n" },
		});
		assert.deepEqual(JSON.parse(envOf(pod, "PROXY_CONFIG") ?? ""), { concurrency: 2, proxyMetadata: { A: "mesh", B: "pod", ISTIO_META_DNS_CAPTURE: "true" } });
		assert.deepEqual([envOf(pod, "A"), envOf(pod, "B")], ["mesh", "pod"]);
		const init = pod.spec.initContainers?.[0];
		assert.ok(
			init?.env?.some(({ name, value }) => name === "ISTIO_META_DNS_CAPTURE" && value === "true"),
			"iptables reads it, too",
		);
	});
	test("ProxyConfig resources: root namespace, namespace, annotation, and last those that select the pod; the older of two counts", () => {
		const resources = [
			proxyConfigResource("root", "istio-system", { concurrency: 1, environmentVariables: { A: "root", B: "root", C: "root", D: "root" } }),
			proxyConfigResource("all", "shop", { environmentVariables: { B: "namespace", C: "namespace", D: "namespace" } }),
			proxyConfigResource("newer", "shop", { concurrency: 7, selector: { matchLabels: { app: "web" } } }, 2),
			proxyConfigResource("own", "shop", { concurrency: 3, environmentVariables: { D: "pod" }, selector: { matchLabels: { app: "web" } } }, 1),
			proxyConfigResource("another", "shop", { concurrency: 9, selector: { matchLabels: { app: "other" } } }),
			proxyConfigResource("elsewhere", "elsewhere", { concurrency: 9 }),
		];
		const pod = inject({
			facts: { proxyConfigs: resources },
			labels: { app: "web" },
			annotations: { "proxy.istio.io/config": "concurrency: 2\nproxyMetadata: {C: annotation, D: annotation}" },
		});
		const expected = { concurrency: 3, proxyMetadata: { A: "root", B: "namespace", C: "annotation", D: "pod" } };
		assert.deepEqual(JSON.parse(envOf(pod, "PROXY_CONFIG") ?? ""), expected);
	});
	test("a ProxyConfig chooses the image's variant", () => {
		const pod = inject({ facts: { proxyConfigs: [proxyConfigResource("a", "shop", { image: { imageType: "debug" } })] } });
		assert.equal(proxyOf(pod).image, "weft.dev/proxy:0.1.0-debug");
	});
	test("what is no map of entries replaces what the mesh says of it", () => {
		const pod = inject({ mesh: { defaultConfig: { tracing: { sampling: 5 } } }, annotations: { "proxy.istio.io/config": "tracing: {maxPathTagLength: 100}" } });
		assert.deepEqual(JSON.parse(envOf(pod, "PROXY_CONFIG") ?? ""), { tracing: { maxPathTagLength: 100 } });
	});
	test("a field that is not known is left out, with a warning", () => {
		const result = run({ annotations: { "proxy.istio.io/config": "concurency: 2" } });
		assert.equal(result.kind, "injected");
		if (result.kind === "injected") assert.deepEqual(result.warnings, ["proxy.istio.io/config: unknown fields are ignored: concurency"]);
	});
	for (const text of ["concurrency: many", "[", "- 1"]) {
		test(`refuses ${JSON.stringify(text)}`, () => {
			const result = run({ annotations: { "proxy.istio.io/config": text } });
			assert.equal(result.kind, "error");
			if (result.kind === "error") assert.match(result.message, /annotation 'proxy.istio.io\/config': failed to convert to apply proxy config/);
		});
	}
	test("of a revision", () => assert.equal(envOf(inject({ revision: "canary" }), "CA_ADDR"), "istiod-canary.istio-system.svc:15012"));
	test("another authority, and where its roots are", () => {
		const values = { global: { caAddress: "cert-manager-istio-csr.cert-manager.svc:443", pilotCertProvider: "custom" } };
		const pod = inject({ values });
		assert.deepEqual([envOf(pod, "CA_ADDR"), envOf(pod, "PILOT_CERT_PROVIDER")], ["cert-manager-istio-csr.cert-manager.svc:443", "custom"]);
		const mounts = (of: Pod) => ((proxyOf(of)["volumeMounts"] ?? []) as readonly { readonly name: string }[]).map(({ name }) => name);
		assert.deepEqual([mounts(pod).includes("istiod-ca-cert"), mounts(inject({})).includes("istiod-ca-cert")], [false, true]);
	});
	test("cluster and network: label before path before values", () => {
		const values = { global: { network: "n0", multiCluster: { clusterName: "c0" } } };
		assert.deepEqual([envOf(inject({ values }), "ISTIO_META_NETWORK"), envOf(inject({ values }), "ISTIO_META_CLUSTER_ID")], ["n0", "c0"]);
		const facts = { environment: { ISTIO_META_NETWORK: "n1" } };
		assert.equal(envOf(inject({ values, facts }), "ISTIO_META_NETWORK"), "n1");
		assert.equal(inject({ values, facts }).metadata.labels?.["topology.istio.io/network"], "n1");
		assert.equal(envOf(inject({ values, facts, labels: { "topology.istio.io/network": "n2" } }), "ISTIO_META_NETWORK"), "n2");
	});
	test("ports, one a line", () => {
		const ports = [
			{ name: "http", containerPort: 80 },
			{ containerPort: 53, protocol: "UDP", hostPort: 5353 },
		];
		const value = envOf(inject({ spec: { containers: [{ name: "app", ports }] } }), "ISTIO_META_POD_PORTS");
		assert.equal(value, '[\n    {"name":"http","containerPort":80}\n    ,{"hostPort":5353,"containerPort":53,"protocol":"UDP"}\n]');
	});
});

suite("names", () => {
	const owner = (kind: string, name: string) => ({ generateName: "x-", ownerReferences: [{ apiVersion: "apps/v1", kind, name, controller: true }] });
	for (const [name, input, workload, of] of [
		[
			"a Deployment's pod",
			{ metadata: owner("ReplicaSet", "web-5d9"), labels: { "pod-template-hash": "5d9" } },
			"web",
			"apps/v1/namespaces/shop/deployments/web",
		],
		["a bare ReplicaSet's pod", { metadata: owner("ReplicaSet", "web") }, "web", "apps/v1/namespaces/shop/replicasets/web"],
		[
			"a rollout's pod",
			{ metadata: owner("ReplicaSet", "web-5d9"), labels: { "rollouts-pod-template-hash": "5d9" } },
			"web",
			"apps/v1/namespaces/shop/rollouts/web",
		],
		["a scheduled Job's pod", { metadata: owner("Job", "clean-28391234") }, "clean", "batch/v1/namespaces/shop/cronjobs/clean"],
		["a StatefulSet's pod", { metadata: owner("StatefulSet", "db") }, "db", "apps/v1/namespaces/shop/statefulsets/db"],
		["a pod of its own", {}, "web", "v1/namespaces/shop/pods/web"],
		["a name of the user's", { labels: { "service.istio.io/workload-name": "shop-web" } }, "shop-web", "v1/namespaces/shop/pods/web"],
	] as const) {
		test(name, () => {
			const pod = inject(input);
			assert.deepEqual([envOf(pod, "ISTIO_META_WORKLOAD_NAME"), envOf(pod, "ISTIO_META_OWNER")], [workload, `kubernetes://apis/${of}`]);
		});
	}
	test("a workload's name that is too long for a label is cut", () => {
		const name = `${"a".repeat(62)}-bcd`;
		assert.equal(
			inject({ facts: { workload: { name, namespace: "shop", apiVersion: "apps/v1", kind: "Deployment" } } }).metadata.labels?.[
				"service.istio.io/canonical-name"
			],
			"a".repeat(62),
		);
	});
});

suite("annotations of the proxy", () => {
	for (const [annotations, read, expected] of [
		[
			{ "sidecar.istio.io/proxyImage": "r.example/p:9" },
			(pod: Pod) => [proxyOf(pod).image, pod.spec.initContainers?.[0]?.image],
			["r.example/p:9", "r.example/p:9"],
		],
		[{ "sidecar.istio.io/proxyImage": "other" }, (pod: Pod) => proxyOf(pod).image, "weft.dev/proxy:0.1.0"],
		[{ "sidecar.istio.io/proxyImageType": "debug" }, (pod: Pod) => proxyOf(pod).image, "weft.dev/proxy:0.1.0-debug"],
		[{ "sidecar.istio.io/proxyCPU": "1500m" }, (pod: Pod) => proxyOf(pod).resources, { requests: { cpu: "1500m" } }],
		[{ "sidecar.istio.io/proxyMemoryLimit": "2048Mi" }, (pod: Pod) => proxyOf(pod).resources, { limits: { memory: "2Gi" } }],
		[{ "sidecar.istio.io/logLevel": "debug" }, (pod: Pod) => proxyOf(pod).args?.[4], "--proxyLogLevel=debug"],
		[{ "sidecar.istio.io/componentLogLevel": "rbac:debug" }, (pod: Pod) => proxyOf(pod).args?.[5], "--proxyComponentLogLevel=rbac:debug"],
		[{ "sidecar.istio.io/agentLogLevel": "default:debug" }, (pod: Pod) => proxyOf(pod).args?.[6], "--log_output_level=default:debug"],
		[
			{ "sidecar.istio.io/capNetBindService": "true" },
			(pod: Pod) => (proxyOf(pod).securityContext as JsonObject)["capabilities"],
			{ add: ["NET_BIND_SERVICE"], drop: ["ALL"] },
		],
		[{ "readiness.status.sidecar.istio.io/initialDelaySeconds": "7" }, (pod: Pod) => (proxyOf(pod).readinessProbe as JsonObject)["initialDelaySeconds"], 7],
		[{ "readiness.status.sidecar.istio.io/failureThreshold": "9" }, (pod: Pod) => (proxyOf(pod).readinessProbe as JsonObject)["failureThreshold"], 9],
		[{ "status.sidecar.istio.io/port": "0" }, (pod: Pod) => [proxyOf(pod).readinessProbe, proxyOf(pod).startupProbe], [undefined, undefined]],
		[{ "traffic.sidecar.istio.io/includeInboundPorts": "80" }, (pod: Pod) => argOf(pod, "-b"), "80"],
		[{ "traffic.sidecar.istio.io/includeInboundPorts": "" }, (pod: Pod) => argOf(pod, "-b"), ""],
		[{ "traffic.sidecar.istio.io/includeOutboundPorts": "8443" }, (pod: Pod) => argOf(pod, "-q"), "8443"],
		[{ "traffic.sidecar.istio.io/excludeInterfaces": "eth1" }, (pod: Pod) => argOf(pod, "-c"), "eth1"],
		[{ "traffic.sidecar.istio.io/kubevirtInterfaces": "tap0" }, (pod: Pod) => argOf(pod, "-k"), "tap0"],
		[{ "traffic.sidecar.istio.io/kubevirtInterfaces": "tap0", "istio.io/reroute-virtual-interfaces": "tap1" }, (pod: Pod) => argOf(pod, "-k"), "tap1"],
		[{ "traffic.sidecar.istio.io/excludeInboundPorts": "15020,22" }, (pod: Pod) => argOf(pod, "-d"), "15090,15021,15020,22"],
		[
			{ "sidecar.istio.io/userVolume": '{"b":{"emptyDir":{}},"a":{"hostPath":{"path":"/x"}}}' },
			(pod: Pod) => pod.spec.volumes?.slice(-2),
			[
				{ name: "a", hostPath: { path: "/x" } },
				{ name: "b", emptyDir: {} },
			],
		],
		[
			{ "sidecar.istio.io/bootstrapOverride": "cm" },
			(pod: Pod) => [envOf(pod, "ISTIO_BOOTSTRAP_OVERRIDE"), pod.spec.volumes?.find(({ name }) => name === "custom-bootstrap-volume")],
			["/etc/istio/custom-bootstrap/custom_bootstrap.json", { name: "custom-bootstrap-volume", configMap: { name: "cm" } }],
		],
		[{ "kubectl.kubernetes.io/default-container": "mine" }, (pod: Pod) => pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"], "mine"],
	] as const) {
		test(
			Object.entries(annotations)
				.map((entry) => entry.join("="))
				.join(" "),
			() => assert.deepEqual(read(inject({ annotations })), expected),
		);
	}
	for (const [annotations, message] of [
		[{ "sidecar.istio.io/proxyCPU": "lots" }, /invalid value 'lots' for annotation 'sidecar.istio.io\/proxyCPU'/],
		[{ "sidecar.istio.io/userVolume": "[{]" }, /annotation 'sidecar.istio.io\/userVolume': it is no JSON/],
		[{ "sidecar.istio.io/userVolumeMount": '[{"mountPath":"/x"}]' }, /each item is an object with a name/],
		[
			{ "traffic.sidecar.istio.io/excludeInboundPorts": "22,ssh" },
			/excludeInboundPorts invalid: failed parsing port 'ssh': failed parsing port 'ssh': strconv.ParseUint: parsing "ssh": invalid syntax/,
		],
		[{ "traffic.sidecar.istio.io/excludeOutboundPorts": "70000" }, /strconv.ParseUint: parsing "70000": value out of range/],
		[{ "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.1" }, /netip.ParsePrefix\("10.0.0.1"\): no '\/'/],
		[{ "traffic.sidecar.istio.io/excludeInterfaces": "eth0 -j ACCEPT" }, /'eth0 -j ACCEPT' is not the name of a network interface/],
		[{ "inject.istio.io/templates": "sidecar,mine" }, /requested template "mine" not found; have gateway, sidecar/],
		[{ "inject.istio.io/templates": "grpc-agent" }, /template "grpc-agent" is not implemented/],
		[{ "proxy.istio.io/overrides": "{" }, /annotation 'proxy.istio.io\/overrides' is no JSON/],
		[
			{ "sidecar.istio.io/interceptionMode": "X", "prometheus.istio.io/merge-metrics": "x" },
			/^failed to run injection template: 2 errors occurred:\n\t\* invalid value 'X'.*\n\t\* invalid value 'x' for annotation 'prometheus.istio.io\/merge-metrics': strconv.ParseBool: parsing "x": invalid syntax\n\n$/,
		],
	] as const) {
		test(`refuses ${JSON.stringify(annotations)}`, () => {
			const result = run({ annotations });
			assert.equal(result.kind, "error");
			if (result.kind === "error") assert.match(result.message, message);
		});
	}
});

suite("a hostile value changes its own scalar and nothing else", () => {
	const hostile = '"\n      - name: evil\n        image: evil"}]; ${{ x }}';
	const normal = inject({ annotations: { "sidecar.istio.io/logLevel": "info" } });
	for (const name of [
		"sidecar.istio.io/logLevel",
		"sidecar.istio.io/componentLogLevel",
		"sidecar.istio.io/agentLogLevel",
		"sidecar.istio.io/proxyImageType",
		"sidecar.istio.io/bootstrapOverride",
	]) {
		test(name, () => {
			const pod = inject({ annotations: { [name]: hostile } });
			assert.deepEqual([names(pod.spec.containers), names(pod.spec.initContainers)], [names(normal.spec.containers), names(normal.spec.initContainers)]);
			assert.ok(!JSON.stringify(pod.spec).includes('"name":"evil"'));
			const image = proxyOf(pod).image ?? "";
			assert.ok(name.endsWith("proxyImageType") ? image.endsWith(hostile) : image === "weft.dev/proxy:0.1.0");
		});
	}
	test("keys of prototypes are only keys", () => {
		const pod = inject(
			{},
			podOf({ spec: JSON.parse('{"containers":[{"name":"app","resources":{"__proto__":{"polluted":"1"}}}]}') as object, annotations: { constructor: "x" } }),
		);
		assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
		assert.ok(Object.hasOwn(pod.spec.containers[0]?.resources ?? {}, "__proto__"));
	});
});

suite("an istio-proxy container of the user's", () => {
	const own = (fields: object) => ({ containers: [{ name: "istio-proxy", image: "auto", ...fields }, { name: "app" }] });
	test("its fields stand, the rest is the template's", () => {
		const proxy = proxyOf(
			inject({
				spec: own({ env: [{ name: "TRUST_DOMAIN", valueFrom: { fieldRef: { fieldPath: "metadata.uid" } } }], volumeMounts: [{ name: "x", mountPath: "/x" }] }),
			}),
		);
		assert.equal(proxy.image, "weft.dev/proxy:0.1.0");
		assert.deepEqual(
			proxy.env?.find(({ name }) => name === "TRUST_DOMAIN"),
			{ name: "TRUST_DOMAIN", valueFrom: { fieldRef: { fieldPath: "metadata.uid" } } },
		);
		assert.ok((proxy["volumeMounts"] as readonly JsonObject[]).some(({ mountPath }) => mountPath === "/x"));
	});
	test("the pull policy that the API server gives an image without a tag is not the user's", () => {
		assert.equal(proxyOf(inject({ spec: own({ imagePullPolicy: "Always" }) }))["imagePullPolicy"], undefined);
		assert.equal(proxyOf(inject({ spec: own({ imagePullPolicy: "Never" }) }))["imagePullPolicy"], "Never");
	});
	test("an image of its own", () => assert.equal(proxyOf(inject({ spec: { containers: [{ name: "istio-proxy", image: "mine:1" }] } })).image, "mine:1"));
	test("native: it is taken from the containers", () => {
		const pod = inject({ spec: own({ resources: { requests: { cpu: "1" } } }), facts: { hasNativeSidecars: true } });
		assert.deepEqual([names(pod.spec.initContainers), names(pod.spec.containers)], [["istio-init", "istio-proxy"], ["app"]]);
		assert.deepEqual((proxyOf(pod).resources as JsonObject)["requests"], { cpu: "1", memory: "128Mi" });
		assert.match(pod.metadata.annotations?.["proxy.istio.io/overrides"] ?? "", /^\{"initContainers":\[\{"name":"istio-proxy","resources":/);
	});
	test("another user: the rules let it pass", () => assert.equal(argOf(inject({ spec: own({ securityContext: { runAsUser: 1500 } }) }), "-u"), "1500"));
	test("TPROXY stays root", () => {
		const pod = inject({ spec: own({ securityContext: { runAsUser: 1500 } }), annotations: { "sidecar.istio.io/interceptionMode": "TPROXY" } });
		assert.equal(proxyOf(pod).securityContext?.runAsUser, 0);
	});
});

suite("gateways", () => {
	const input: Case = {
		annotations: { "inject.istio.io/templates": "gateway" },
		labels: { istio: "ingress" },
		spec: { containers: [{ name: "istio-proxy", image: "auto", ports: [{ containerPort: 8443 }], securityContext: { runAsNonRoot: true } }] },
	};
	test("the pod's own container becomes a router; nothing is captured", () => {
		const pod = inject(input);
		assert.deepEqual([names(pod.spec.containers), pod.spec.initContainers], [["istio-proxy"], undefined]);
		const proxy = proxyOf(pod);
		assert.deepEqual(proxy.args?.slice(0, 2), ["proxy", "router"]);
		assert.deepEqual(
			proxy.ports?.map(({ containerPort }) => containerPort),
			[15090, 8443],
		);
		assert.deepEqual(proxy.securityContext, { runAsUser: 1337, runAsGroup: 1337, runAsNonRoot: true });
		assert.deepEqual([proxy.startupProbe, (proxy.readinessProbe as JsonObject)["periodSeconds"]], [undefined, 15]);
		assert.equal(pod.metadata.labels?.["security.istio.io/tlsMode"], undefined);
		assert.equal(JSON.parse(pod.metadata.annotations?.["sidecar.istio.io/status"] ?? "{}").initContainers, null);
	});
	test("how traffic is captured is no matter of the pod's: nothing of it is", () => {
		const pod = inject({ ...input, annotations: { ...input.annotations, "sidecar.istio.io/interceptionMode": "TPROXY" } });
		assert.equal(envOf(pod, "ISTIO_META_INTERCEPTION_MODE"), "REDIRECT");
	});
});

suite("with a CNI plugin", () => {
	const values = { pilot: { cni: { enabled: true } } };
	const init = [{ name: "first" }];
	test("nobody is root: a check in place of the rules, before all else", () => {
		const pod = inject({ values, spec: { containers: [{ name: "app" }], initContainers: init } });
		assert.deepEqual(names(pod.spec.initContainers), ["istio-validation", "first"]);
		const check = pod.spec.initContainers?.[0];
		assert.deepEqual(check?.args?.slice(-2), ["--run-validation", "--skip-rule-apply"]);
		assert.deepEqual(check?.securityContext, {
			allowPrivilegeEscalation: false,
			privileged: false,
			capabilities: { drop: ["ALL"] },
			readOnlyRootFilesystem: true,
			runAsGroup: 1337,
			runAsNonRoot: true,
			runAsUser: 1337,
		});
		assert.equal(pod.metadata.annotations?.["sidecar.istio.io/interceptionMode"], "REDIRECT");
		assert.equal(pod.metadata.annotations?.["traffic.sidecar.istio.io/excludeInboundPorts"], "15020");
	});
	test("native, and a proxy of another user", () => {
		const own = { name: "istio-proxy", image: "auto", securityContext: { runAsUser: 1500, runAsGroup: 1600 } };
		const pod = inject({ values, facts: { hasNativeSidecars: true }, spec: { containers: [{ name: "app" }, own], initContainers: init } });
		assert.deepEqual(names(pod.spec.initContainers), ["istio-validation", "istio-proxy", "first"]);
		const check = pod.spec.initContainers?.[0];
		assert.deepEqual([check?.securityContext?.runAsUser, check?.securityContext?.runAsGroup], [1500, 1600]);
		assert.ok(check?.args?.includes("1500"));
	});
	for (const [networks, expected] of [
		["", "default/istio-cni"],
		["a, b", "a, b, default/istio-cni"],
		['[{"name":"a"}]', '[{"name":"a"},{"name":"default/istio-cni"}]'],
		["a,default/istio-cni", "a,default/istio-cni"],
	] as const) {
		test(`multus networks ${JSON.stringify(networks)}`, () => {
			const multus = { pilot: { cni: { enabled: true, provider: "multus" } } };
			const pod = inject({ values: multus, ...(networks && { annotations: { "k8s.v1.cni.cncf.io/networks": networks } }) });
			assert.equal(pod.metadata.annotations?.["k8s.v1.cni.cncf.io/networks"], expected);
		});
	}
});

suite("warnings", () => {
	const namespace = { name: "shop", labels: { "istio-injection": "enabled", "pod-security.kubernetes.io/enforce": "restricted" } };
	for (const [name, input, expected] of [
		[
			"a namespace that forbids the init container",
			{ facts: { namespace } },
			[/namespace shop enforces pod security "restricted", which refuses the init container/],
		],
		["not with a CNI plugin", { facts: { namespace }, values: { pilot: { cni: { enabled: true } } } }, []],
		["a DNS policy", { spec: { dnsPolicy: "Default" } }, [/dnsPolicy is Default/]],
		["several scrape targets", { annotations: { "prometheus.istio.io/scrape-targets": "1:/m" } }, [/scrape-targets is not implemented/]],
		["none", {}, []],
	] as const) {
		test(name, () => {
			const result = run(input);
			assert.equal(result.kind, "injected");
			if (result.kind !== "injected") return;
			assert.equal(result.warnings.length, expected.length);
			for (const [i, warning] of expected.entries()) assert.match(result.warnings[i] ?? "", warning);
		});
	}
});

suite("again and back", () => {
	const probes = {
		readinessProbe: { httpGet: { path: "/r", port: 8080 } },
		livenessProbe: { grpc: { port: 1 } },
		lifecycle: { preStop: { tcpSocket: { port: 2 } } },
	};
	const cases: readonly Case[] = [
		{},
		{ spec: { containers: [{ name: "app", ...probes }], volumes: [{ name: "mine", emptyDir: {} }], initContainers: [{ name: "first" }] } },
		{ annotations: { "prometheus.io/port": "9", "prometheus.io/scrape": "true" } },
		{ facts: { hasNativeSidecars: true }, spec: { containers: [{ name: "istio-proxy", image: "auto", env: [{ name: "A", value: "b" }] }, { name: "app" }] } },
		{ values: { global: { imagePullSecrets: ["s"] } }, spec: { containers: [{ name: "app" }], imagePullSecrets: [{ name: "mine" }] } },
		{ annotations: { "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true" } },
	];
	for (const [i, input] of cases.entries()) {
		test(`case ${i}: a second injection changes nothing, and uninject gives back the pod`, () => {
			const pod = inject(input);
			const again = run(input, pod);
			assert.equal(again.kind, "injected");
			if (again.kind === "injected") assert.deepEqual(again.patch, []);
			const back = uninjectPod(pod);
			// A user's own proxy container comes back behind the others.
			const sorted = (p: Pod | undefined) => p && { ...p, spec: { ...p.spec, containers: [...p.spec.containers].sort((a, b) => (a.name < b.name ? -1 : 1)) } };
			assert.deepEqual(sorted(back), sorted(podOf(input)));
		});
	}
	test("a pod that was not injected is no matter of uninject", () =>
		assert.equal(uninjectPod(podOf({ annotations: { "sidecar.istio.io/status": "nonsense" } })), undefined));
});
