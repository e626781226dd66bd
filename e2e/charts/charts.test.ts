import assert from "node:assert/strict";
import { test } from "node:test";
import { crdKinds, decodeMeshConfigValue, kindInfo, kindNames } from "@weft/api";
import { parse } from "yaml";
import { at, type ChartName, helmMissing, only, type Rendered, render, runHelm, tryRender } from "./render.ts";
import { webhooksFor } from "./selectors.ts";

const skip = helmMissing;
const charts: readonly ChartName[] = ["base", "control-plane", "gateway"];
const everything = ["global.networkPolicy.enabled=true", "revisionTags={prod}", "sidecarInjectorWebhook.enableNamespacesByDefault=true"];

const all = (): Rendered[] => [
	...render("base"),
	...render("control-plane", { set: everything }),
	...render("gateway", { release: "istio-ingressgateway", set: ["networkPolicy.enabled=true", "podDisruptionBudget.minAvailable=1"] }),
];

const podSpecs = (objects: readonly Rendered[]): (readonly [string, unknown])[] =>
	objects.flatMap((object) => {
		const spec = object.kind === "Pod" ? object["spec"] : at(object, "spec", "template", "spec");
		return spec === undefined ? [] : [[`${object.kind}/${object.metadata.name}`, spec] as const];
	});

test("helm lint is content", { skip }, () => {
	for (const chart of charts) {
		const { status, stdout, stderr } = runHelm("lint", "--strict", `charts/${chart}`);
		assert.equal(status, 0, stdout + stderr);
	}
});

const typos: readonly (readonly [ChartName, string, RegExp])[] = [
	["base", "base.enableCRDs=false", /enableCRDs/],
	["base", "global.namespace=x", /namespace/],
	["control-plane", "autoscaleMn=3", /autoscaleMn/],
	["control-plane", "pilot.replicas=3", /replicas/],
	["control-plane", "global.proxy.loglevel=debug", /loglevel/],
	["control-plane", "global.proxy.logLevel=loud", /logLevel/],
	["control-plane", "profile=large", /profile/],
	["control-plane", "global.proxy.includeIPRanges=everything", /includeIPRanges/],
	["control-plane", "sidecarInjectorWebhook.templates.own=x", /templates/],
	["control-plane", "traceSampling=101", /traceSampling/],
	["control-plane", "global.certSigners={noslash}", /certSigners/],
	["gateway", "service.tpye=ClusterIP", /tpye/],
	["gateway", "service.type=Loadbalancer", /type/],
	["gateway", "kind=StatefulSet", /kind/],
];

test("a typo in a value fails and is named", { skip }, async (t) => {
	for (const [chart, value, words] of typos) {
		await t.test(`${chart}: ${value}`, () => {
			const { status, stderr } = tryRender(chart, { set: [value] });
			assert.notEqual(status, 0);
			assert.match(stderr, words);
		});
	}
});

test("requests for certificates may be approved for the named signers alone, and by default for none", { skip }, () => {
	const rulesOf = (set: readonly string[]) =>
		render("control-plane", { set })
			.filter(({ kind }) => kind === "ClusterRole")
			.flatMap((role) => role["rules"] as readonly Readonly<Record<string, readonly string[]>>[])
			.filter(({ apiGroups = [] }) => apiGroups.includes("certificates.k8s.io"));
	assert.deepEqual(rulesOf([]), []);
	assert.deepEqual(
		rulesOf(["global.certSigners={clusterissuers.cert-manager.io/mesh}"]).map(({ resources, resourceNames, verbs }) => [resources, resourceNames, verbs]),
		[
			[["certificatesigningrequests"], undefined, ["create", "get", "delete"]],
			[["certificatesigningrequests/approval"], undefined, ["update"]],
			[["signers"], ["clusterissuers.cert-manager.io/mesh"], ["approve"]],
		],
	);
});

test("no role has a wildcard, and nothing but the gateway's and the control plane's own namespace lets Secrets be written", { skip }, () => {
	for (const object of all()) {
		if (!object.kind.endsWith("Role")) continue;
		for (const rule of object["rules"] as readonly unknown[]) {
			for (const part of ["apiGroups", "resources", "verbs"]) {
				const values = at(rule, part) as readonly string[];
				assert.ok(!values.some((value) => value.includes("*")), `${object.kind}/${object.metadata.name}: ${part} ${values.join()}`);
			}
			if (object.kind !== "ClusterRole" || !(at(rule, "resources") as readonly string[]).includes("secrets")) continue;
			assert.deepEqual(at(rule, "verbs"), ["get", "list", "watch"], object.metadata.name);
		}
	}
});

test("the control plane may watch every kind of the mesh that has a CRD", { skip }, () => {
	const roles = render("control-plane").filter(({ kind }) => kind === "ClusterRole");
	const watched = new Set(
		roles
			.flatMap((role) => role["rules"] as readonly unknown[])
			.filter((rule) => (at(rule, "verbs") as readonly string[]).includes("watch"))
			.flatMap((rule) =>
				(at(rule, "apiGroups") as readonly string[]).flatMap((group) => (at(rule, "resources") as readonly string[]).map((name) => `${name}.${group}`)),
			),
	);
	for (const kind of crdKinds) assert.ok(watched.has(`${kindInfo(kind).plural}.${kindInfo(kind).group}`), kind);
});

test("the control plane may write the status of what it has a word on, by server-side apply, and no other", { skip }, () => {
	const rules = render("control-plane")
		.filter(({ kind }) => kind === "ClusterRole")
		.flatMap((role) => role["rules"] as readonly unknown[]);
	const granted = rules
		.filter((rule) => (at(rule, "resources") as readonly string[]).some((name) => name.endsWith("/status")))
		.flatMap((rule) => {
			assert.deepEqual(at(rule, "verbs"), ["patch"]);
			return (at(rule, "apiGroups") as readonly string[]).flatMap((group) => (at(rule, "resources") as readonly string[]).map((name) => `${name}.${group}`));
		});
	const silent: readonly string[] = ["ProxyConfig", "WorkloadGroup"];
	const kinds = [
		...crdKinds.filter((kind) => !silent.includes(kind)),
		...kindNames.filter((kind) => kindInfo(kind).group === "gateway.networking.k8s.io" && kind !== "ReferenceGrant"),
	];
	assert.deepEqual(granted.sort(), kinds.map((kind) => `${kindInfo(kind).plural}/status.${kindInfo(kind).group}`).sort());
});

test("the control plane may deploy Gateways, and may not where it does not", { skip }, () => {
	const granted = (...set: readonly string[]) =>
		render("control-plane", { set })
			.filter(({ kind }) => kind === "ClusterRole")
			.flatMap((role) => role["rules"] as readonly unknown[])
			.filter((rule) => (at(rule, "resources") as readonly string[]).includes("deployments"))
			.map((rule) => at(rule, "verbs"));
	assert.deepEqual(granted(), [["create", "get", "list", "patch", "watch"]]);
	assert.equal(granted("env=null").length, 1);
	// `false` without quotes is what --set makes of it.
	assert.deepEqual(granted("env.PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER=false"), []);
	assert.deepEqual(granted("pilot.env.PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER=false"), []);
});

test("every pod meets the restricted standard with a read-only root", { skip }, () => {
	const specs = podSpecs(all());
	assert.equal(specs.length, 4);
	for (const [name, spec] of specs) {
		assert.equal(at(spec, "securityContext", "runAsNonRoot"), true, name);
		assert.equal(at(spec, "securityContext", "seccompProfile", "type"), "RuntimeDefault", name);
		for (const container of at(spec, "containers") as readonly unknown[]) {
			const context = at(container, "securityContext");
			assert.equal(at(context, "allowPrivilegeEscalation"), false, name);
			assert.equal(at(context, "readOnlyRootFilesystem"), true, name);
			assert.deepEqual(at(context, "capabilities"), { drop: ["ALL"] }, name);
			assert.equal(at(context, "runAsUser"), 1337, name);
		}
	}
});

test("names, ports and labels are those that Istio's tools look for", { skip }, () => {
	const objects = render("control-plane");
	const deployment = only(objects, "Deployment", "istiod");
	const labels = at(deployment, "spec", "template", "metadata", "labels") as Record<string, string>;
	assert.deepEqual([labels["app"], labels["istio"], labels["istio.io/rev"], labels["sidecar.istio.io/inject"]], ["istiod", "pilot", "default", "false"]);
	assert.equal(at(deployment, "spec", "template", "spec", "containers", 0, "name"), "discovery");
	assert.deepEqual(at(deployment, "spec", "template", "spec", "containers", 0, "args"), [
		"discovery",
		"--monitoringAddr=:15014",
		"--log_output_level=default:info",
		"--domain",
		"cluster.local",
		"--keepaliveMaxServerConnectionAge",
		"30m",
	]);
	assert.deepEqual(at(deployment, "spec", "template", "spec", "containers", 0, "readinessProbe", "httpGet"), { path: "/ready", port: 8080 });
	const ports = at(only(objects, "Service", "istiod"), "spec", "ports") as readonly Readonly<Record<string, unknown>>[];
	assert.deepEqual(
		ports.map(({ name, port, targetPort }) => [name, port, targetPort]),
		[
			["https-dns", 15012, undefined],
			["https-webhook", 443, 15017],
			["http-monitoring", 15014, undefined],
		],
	);
	const selector = at(only(objects, "Service", "istiod"), "spec", "selector") as Record<string, string>;
	for (const [name, value] of Object.entries(selector)) assert.equal(labels[name], value);
	assert.ok(only(objects, "ConfigMap", "istio"));
	assert.deepEqual(Object.keys(at(only(objects, "ConfigMap", "istio-sidecar-injector"), "data") as object).sort(), ["config", "values"]);
});

test("plain-text xDS is served only where it is asked for", { skip }, () => {
	const asked = render("control-plane", { set: ["global.istiod.plaintextXds=true", "global.networkPolicy.enabled=true"] });
	assert.ok((at(only(asked, "Service", "istiod"), "spec", "ports") as readonly unknown[]).some((port) => at(port, "port") === 15010));
	assert.ok((at(only(asked, "Deployment"), "spec", "template", "spec", "containers", 0, "args") as readonly string[]).includes("--grpcAddr=:15010"));
	assert.ok(!JSON.stringify(render("control-plane", { set: ["global.networkPolicy.enabled=true"] })).includes("15010"));
});

const meshOf = (set: readonly string[], name = "istio"): unknown =>
	parse(String(at(only(render("control-plane", { set }), "ConfigMap", name), "data", "mesh")));
const valuesOf = (set: readonly string[]): unknown =>
	JSON.parse(String(at(only(render("control-plane", { set }), "ConfigMap", "istio-sidecar-injector"), "data", "values")));

test("a profile comes before the defaults, and what the user says before the profile", { skip }, () => {
	assert.equal(at(meshOf([]), "accessLogFile"), undefined);
	assert.equal(at(meshOf(["profile=demo"]), "accessLogFile"), "/dev/stdout");
	assert.equal(at(meshOf(["profile=demo"]), "defaultConfig", "tracing", "sampling"), 100);
	assert.equal(at(meshOf(["profile=demo", "meshConfig.accessLogFile="]), "accessLogFile"), "");
	assert.equal(at(meshOf(["profile=demo", "traceSampling=0"]), "defaultConfig", "tracing", "sampling"), 0);
	assert.equal(at(valuesOf(["profile=demo"]), "global", "proxy", "resources", "requests", "cpu"), "10m");
	assert.equal(at(valuesOf(["profile=demo"]), "global", "proxy", "resources", "limits", "cpu"), "2000m");
	const kinds = (...set: string[]) => render("control-plane", { set }).map(({ kind }) => kind);
	assert.ok(kinds().includes("HorizontalPodAutoscaler"));
	assert.ok(!kinds("autoscaleEnabled=false").includes("HorizontalPodAutoscaler"));
	assert.ok(!kinds("profile=minimal").includes("HorizontalPodAutoscaler"));
	assert.ok(kinds("profile=minimal", "autoscaleEnabled=true").includes("HorizontalPodAutoscaler"));
	assert.ok(!kinds("global.defaultPodDisruptionBudget.enabled=false").includes("PodDisruptionBudget"));
});

test("a NetworkPolicy is there where it is asked for, and lets in what the container serves and nothing else", { skip }, () => {
	const portsOf = (list: unknown, field: string) => (list as readonly Readonly<Record<string, number>>[]).map((port) => port[field]);
	for (const extra of [[], ["global.istiod.plaintextXds=true"]]) {
		const objects = render("control-plane", { set: ["global.networkPolicy.enabled=true", ...extra] });
		const policy = only(objects, "NetworkPolicy");
		const pod = at(only(objects, "Deployment"), "spec", "template");
		assert.deepEqual(portsOf(at(policy, "spec", "ingress", 0, "ports"), "port"), portsOf(at(pod, "spec", "containers", 0, "ports"), "containerPort"));
		const labels = at(pod, "metadata", "labels") as Readonly<Record<string, string>>;
		for (const [name, value] of Object.entries(at(policy, "spec", "podSelector", "matchLabels") as object)) assert.equal(labels[name], value);
	}
	for (const chart of ["control-plane", "gateway"] as const) assert.ok(!render(chart).some(({ kind }) => kind === "NetworkPolicy"), chart);
	const gateway = only(render("gateway", { set: ["networkPolicy.enabled=true"] }), "NetworkPolicy");
	assert.deepEqual(portsOf(at(gateway, "spec", "ingress", 0, "ports"), "port"), [15020, 15021, 15090, 15021, 80, 443]);
});

test("replicas are spread over nodes, as far as there are nodes", { skip }, () => {
	const spread = (...set: string[]) => at(only(render("control-plane", { set }), "Deployment"), "spec", "template", "spec", "topologySpreadConstraints");
	const [constraint, ...more] = spread() as readonly Readonly<Record<string, unknown>>[];
	assert.deepEqual([constraint?.["topologyKey"], constraint?.["whenUnsatisfiable"], more], ["kubernetes.io/hostname", "ScheduleAnyway", []]);
	assert.deepEqual(spread("topologySpreadConstraints[0].topologyKey=zone", "topologySpreadConstraints[0].maxSkew=2"), [{ topologyKey: "zone", maxSkew: 2 }]);
});

test("pilot.X is X", { skip }, () => {
	const replicas = (...set: string[]) => at(only(render("control-plane", { set }), "Deployment"), "spec", "replicas");
	assert.equal(replicas("pilot.autoscaleEnabled=false", "pilot.replicaCount=3"), 3);
	assert.equal(replicas("autoscaleEnabled=false", "replicaCount=3"), 3);
	assert.equal(at(valuesOf(["pilot.env.PILOT_X=1"]), "pilot", "env", "PILOT_X"), 1);
	assert.equal(at(valuesOf(["cni.enabled=true"]), "pilot", "cni", "enabled"), true);
});

test("images are named by hub, tag and variant", { skip }, () => {
	const image = (...set: string[]) => at(only(render("control-plane", { set }), "Deployment"), "spec", "template", "spec", "containers", 0, "image");
	assert.equal(image(), "weft.dev/control-plane:0.1.0");
	assert.equal(image("global.hub=example.com/mesh", "global.tag=t2"), "example.com/mesh/control-plane:t2");
	assert.equal(image("hub=example.com/own", "tag=t3", "global.tag=t2"), "example.com/own/control-plane:t3");
	assert.equal(image("image=example.com/full:t4"), "example.com/full:t4");
	assert.equal(image("global.variant=debug"), "weft.dev/control-plane:0.1.0-debug");
	assert.equal(at(valuesOf([]), "global", "tag"), "0.1.0");
});

test("the mesh configuration is one that the control plane understands", { skip }, () => {
	for (const set of [[], ["profile=demo"], ["global.meshID=m1", "meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"]]) {
		const { diagnostics } = decodeMeshConfigValue(meshOf(set));
		assert.deepEqual(
			diagnostics.filter(({ severity }) => severity === "error"),
			[],
		);
	}
	assert.equal(at(meshOf(["revision=canary"], "istio-canary"), "defaultConfig", "discoveryAddress"), "istiod-canary.istio-system.svc:15012");
});

const nameOf = ({ kind, metadata }: Rendered) => `${kind}/${metadata.name}`;

test("two revisions share no object", { skip }, () => {
	const first = new Set(render("control-plane", { set: everything }).map(nameOf));
	const second = render("control-plane", { release: "weft-canary", set: ["revision=canary", "revisionTags={next}"] }).map(nameOf);
	assert.deepEqual(
		second.filter((name) => first.has(name)),
		[],
	);
});

// Which entries of the webhooks of revisions default (with tag prod) and canary are asked about a pod.
const enabled = { "istio-injection": "enabled" };
const injections: readonly (readonly [string, string, Readonly<Record<string, string>>, Readonly<Record<string, string>>, readonly string[]])[] = [
	["a labelled namespace", "shop", enabled, {}, ["istio-sidecar-injector namespace"]],
	["a pod that opts out", "shop", enabled, { "sidecar.istio.io/inject": "false" }, []],
	["a namespace that says nothing", "shop", {}, {}, []],
	["a pod that opts in", "shop", {}, { "sidecar.istio.io/inject": "true" }, ["istio-sidecar-injector object"]],
	["a disabled namespace", "shop", { "istio-injection": "disabled" }, { "sidecar.istio.io/inject": "true" }, []],
	["a namespace of a revision", "shop", { "istio.io/rev": "canary" }, {}, ["istio-sidecar-injector-canary rev.namespace"]],
	["a namespace of a tag", "shop", { "istio.io/rev": "prod" }, {}, ["istio-revision-tag-prod rev.namespace"]],
	["a namespace of the default revision", "shop", { "istio.io/rev": "default" }, {}, ["istio-sidecar-injector rev.namespace"]],
	["istio-injection comes before istio.io/rev", "shop", { ...enabled, "istio.io/rev": "canary" }, {}, ["istio-sidecar-injector namespace"]],
	["a pod of a revision", "shop", {}, { "istio.io/rev": "canary" }, ["istio-sidecar-injector-canary rev.object"]],
	["kube-system, whatever it says", "kube-system", enabled, { "sidecar.istio.io/inject": "true" }, []],
	["the control plane's namespace by its label", "istio-system", enabled, {}, []],
	["a gateway in the control plane's namespace", "istio-system", {}, { "sidecar.istio.io/inject": "true" }, ["istio-sidecar-injector object"]],
	["the control plane itself", "istio-system", {}, { "sidecar.istio.io/inject": "false", "istio.io/rev": "default" }, []],
];

test("a pod is seen by one webhook at most, that of its revision", { skip }, async (t) => {
	const webhooks = [
		...render("control-plane", { set: ["revisionTags={prod}"] }),
		...render("control-plane", { release: "canary", set: ["revision=canary"] }),
	].filter(({ kind }) => kind === "MutatingWebhookConfiguration");
	for (const webhook of webhooks.flatMap((configuration) => configuration["webhooks"] as readonly unknown[]))
		assert.equal(at(webhook, "failurePolicy"), "Fail");
	for (const [name, namespace, namespaceLabels, podLabels, expected] of injections) {
		await t.test(name, () => {
			const asked = webhooksFor(webhooks, namespace, namespaceLabels, podLabels);
			assert.deepEqual(
				asked.map((entry) => entry.replace(".sidecar-injector.istio.io", "")),
				expected,
			);
		});
	}
});

test("enableNamespacesByDefault asks about namespaces that say nothing", { skip }, () => {
	const webhooks = render("control-plane", { set: ["sidecarInjectorWebhook.enableNamespacesByDefault=true"] }).filter(
		({ kind }) => kind === "MutatingWebhookConfiguration",
	);
	assert.deepEqual(webhooksFor(webhooks, "shop", {}, {}), ["istio-sidecar-injector auto.sidecar-injector.istio.io"]);
	assert.deepEqual(webhooksFor(webhooks, "istio-system", {}, {}), []);
	assert.deepEqual(webhooksFor(webhooks, "shop", { "istio-injection": "disabled" }, {}), []);
});

test("names of webhooks outside of istio-system end with the namespace, as Istio's do", { skip }, () => {
	const objects = render("control-plane", { namespace: "mesh", set: ["revisionTags={prod}"] });
	assert.deepEqual(
		objects.filter(({ kind }) => kind === "MutatingWebhookConfiguration").map(({ metadata }) => metadata.name),
		["istio-sidecar-injector-mesh", "istio-revision-tag-prod-mesh"],
	);
});

test("base has a CRD of every kind, kept when the chart goes", { skip }, () => {
	const names = crdKinds.map((kind) => `${kindInfo(kind).plural}.${kindInfo(kind).group}`).sort();
	const crds = render("base").filter(({ kind }) => kind === "CustomResourceDefinition");
	assert.deepEqual(crds.map(({ metadata }) => metadata.name).sort(), names);
	for (const { metadata } of crds) assert.equal(metadata.annotations?.["helm.sh/resource-policy"], "keep", metadata.name);
	const count = (...set: string[]) => render("base", { set }).filter(({ kind }) => kind === "CustomResourceDefinition").length;
	assert.equal(count("base.enableCRDTemplates=false"), 0);
	assert.equal(count("base.excludedCRDs={sidecars.networking.istio.io}"), names.length - 1);
	assert.equal(count("base.enableWeftCRDs=false"), names.filter((name) => !name.endsWith(".weft.dev")).length);
});

test("base lets the default revision validate what names none", { skip }, () => {
	const service = (...set: string[]) => at(only(render("base", { set }), "ValidatingWebhookConfiguration"), "webhooks", 0, "clientConfig", "service", "name");
	assert.equal(service(), "istiod");
	assert.equal(service("defaultRevision=canary"), "istiod-canary");
	assert.ok(!render("base", { set: ["defaultRevision="] }).some(({ kind }) => kind === "ValidatingWebhookConfiguration"));
});

test("a gateway is selected as Istio's is, and its Service finds it", { skip }, () => {
	const objects = render("gateway", { release: "istio-ingressgateway", set: ["revision=canary", "labels.team=edge"] });
	const pod = at(only(objects, "Deployment"), "spec", "template", "metadata") as Rendered["metadata"];
	assert.equal(pod.labels?.["istio"], "ingressgateway");
	assert.equal(pod.labels?.["istio.io/rev"], "canary");
	assert.equal(pod.labels?.["team"], "edge");
	assert.equal(pod.annotations?.["inject.istio.io/templates"], "gateway");
	for (const [name, value] of Object.entries(at(only(objects, "Service"), "spec", "selector") as object)) assert.equal(pod.labels?.[name], value);
	assert.equal(at(only(objects, "Deployment"), "spec", "template", "spec", "containers", 0, "image"), "auto");
	// Without it "auto" is a tag of latest, and an image that was loaded onto the nodes is never found.
	assert.equal(at(only(objects, "Deployment"), "spec", "template", "spec", "containers", 0, "imagePullPolicy"), "IfNotPresent");
	const kinds = (...set: string[]) => render("gateway", { set }).map(({ kind }) => kind);
	assert.ok(kinds("kind=DaemonSet").includes("DaemonSet"));
	assert.ok(!kinds("kind=DaemonSet").includes("HorizontalPodAutoscaler"));
	assert.ok(!kinds("service.type=None").includes("Service"));
	assert.ok(!kinds("rbac.enabled=false").includes("Role"));
	assert.deepEqual(at(only(render("gateway", { set: ["podDisruptionBudget.minAvailable=2"] }), "PodDisruptionBudget"), "spec", "minAvailable"), 2);
});
