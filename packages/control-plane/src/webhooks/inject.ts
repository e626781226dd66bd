import type { ConfigObject, Diagnostic, MeshConfig, NodeStatus } from "@weft/api";
import { formatDiagnostic, hasErrors, nodeStatus } from "@weft/api";
import type { StoreSnapshot } from "@weft/galley";
import { type KubeClient, type KubeObject, resources, watchResource } from "@weft/kube";
import type { Clock, Logger } from "@weft/runtime";
import { Counter, Histogram, type Registry } from "prom-client";
import type { WebhookHandler } from "./admission-review.ts";

/** What injection knows beyond the pod. */
export interface InjectionFacts {
	readonly namespace: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
	readonly hasNativeSidecars: boolean;
	readonly proxyConfigs?: readonly ConfigObject<"ProxyConfig">[];
}

/** The injector, as this server sees it: pure, `Settings` are its own. */
export interface Injector<Settings> {
	decodeInjectorSettings(source: { readonly valuesJson: string; readonly configYaml: string; readonly meshConfig: MeshConfig; readonly revision: string }): {
		readonly value: Settings;
		readonly diagnostics: readonly Diagnostic[];
	};
	reviewInjection(
		input: { readonly body: string; readonly path: string },
		settings: Settings,
		facts: { factsOf(namespace: string): InjectionFacts },
	): {
		readonly status: number;
		readonly body: string;
		readonly outcome: { readonly kind: string; readonly reason?: string; readonly message?: string };
		/** Namespace and name of the pod. */
		readonly subject: string;
	};
}

export interface InjectOptions<Settings> {
	readonly injector: Injector<Settings>;
	readonly client: KubeClient;
	readonly namespace: string;
	/** Of the ConfigMap `istio-sidecar-injector[-REVISION]`, with the keys `config` and `values`. */
	readonly configMapName: string;
	readonly revision: string;
	readonly meshConfig: () => MeshConfig;
	readonly snapshot: () => StoreSnapshot;
	/** ENABLE_NATIVE_SIDECARS; undefined: when every node's kubelet can. */
	readonly nativeSidecars: boolean | undefined;
	readonly registry: Registry;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

export interface InjectHandler<Settings> extends WebhookHandler {
	isSettled(): boolean;
	/** As they are now, another object whenever they changed; undefined until they have been read. */
	settings(): Settings | undefined;
}

/** `/inject`, with the settings of the ConfigMap and the mesh config as they are now. Settings with errors change nothing. */
export function createInjectHandler<Settings>(options: InjectOptions<Settings>): InjectHandler<Settings> {
	const { injector, snapshot, clock, logger, signal } = options;
	const metrics = createMetrics(options.registry);
	const settings = createSettings(options);
	const watch = watchResource(options.client, resources.configMaps, {
		namespace: options.namespace,
		fieldSelector: `metadata.name=${options.configMapName}`,
		signal,
		clock,
		logger,
		onList: (objects) => settings.take(objects[0]),
		onEvents: (events) => {
			const last = events.at(-1);
			settings.take(last?.type === "upsert" ? last.object : undefined);
		},
	});
	let wasSettled = false;
	const isSettled = () => (wasSettled ||= watch.state === "synced");
	return {
		path: "/inject",
		isSettled,
		settings: () => (isSettled() ? settings.current() : undefined),
		handle({ body, url }) {
			metrics.requests.inc();
			const stopTimer = metrics.seconds.startTimer();
			const present = snapshot();
			const hasNativeSidecars = options.nativeSidecars ?? everyKubeletCan(present.all("Node"));
			const proxyConfigs = present.all("ProxyConfig");
			const facts = {
				factsOf: (name: string): InjectionFacts => {
					const labels = present.get("Namespace", "", name)?.metadata.labels;
					return { namespace: { name, ...(labels && { labels }) }, hasNativeSidecars, proxyConfigs };
				},
			};
			const { status, body: text, outcome, subject } = injector.reviewInjection({ body, path: url.pathname }, settings.current(), facts);
			stopTimer();
			const { kind, reason, message } = outcome;
			if (kind === "injected") metrics.success.inc();
			else if (kind === "skipped") metrics.skip.inc();
			else metrics.failure.inc();
			logger.info(kind === "injected" ? "pod injected" : "pod not injected", { pod: subject, reason: reason ?? message ?? kind });
			return { status, body: text };
		},
	};
}

function createSettings<Settings>({ injector, meshConfig, revision, configMapName, logger }: InjectOptions<Settings>) {
	let object: KubeObject | undefined;
	let mesh = meshConfig();
	const decode = (): Settings | undefined => {
		const data = (object?.["data"] ?? {}) as Readonly<Record<string, string>>;
		const { value, diagnostics } = injector.decodeInjectorSettings({
			valuesJson: data["values"] ?? "",
			configYaml: data["config"] ?? "",
			meshConfig: mesh,
			revision,
		});
		for (const diagnostic of diagnostics) logger.warn("injector settings", { from: configMapName, problem: formatDiagnostic(diagnostic) });
		return hasErrors(diagnostics) ? undefined : value;
	};
	// The charts' defaults, until the ConfigMap has been read; they have no errors, whatever the mesh config says.
	let current = decode() ?? injector.decodeInjectorSettings({ valuesJson: "", configYaml: "", meshConfig: {}, revision }).value;
	const refresh = (): void => {
		const next = decode();
		if (next === undefined) logger.error("the injector's settings have errors; the last good ones stay in force", { from: configMapName });
		else current = next;
	};
	return {
		take(next: KubeObject | undefined): void {
			object = next;
			if (!next) logger.warn("no injector settings, the charts' defaults are used", { configMap: configMapName });
			refresh();
		},
		current(): Settings {
			if (meshConfig() !== mesh) {
				mesh = meshConfig();
				refresh();
			}
			return current;
		},
	};
}

/** From this minor version of 1 on init containers may keep running, and probes of theirs count. */
const nativeMinor = 33;

/** May every node run a pod with a native sidecar? One that says nothing cannot. */
export function everyKubeletCan(nodes: readonly ConfigObject<"Node">[]): boolean {
	return (
		nodes.length > 0 &&
		nodes.every((node) => {
			const { kubeletVersion = "" } = (nodeStatus(node) as NodeStatus & { readonly nodeInfo?: { readonly kubeletVersion?: string } }).nodeInfo ?? {};
			const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(kubeletVersion) ?? [];
			return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= nativeMinor);
		})
	);
}

/** Istio's names. */
function createMetrics(registry: Registry) {
	const registers = [registry];
	const counter = (what: string, help: string) => new Counter({ name: `sidecar_injection_${what}_total`, help, registers });
	return {
		requests: counter("requests", "Total number of sidecar injection requests."),
		success: counter("success", "Total number of successful sidecar injection requests."),
		failure: counter("failure", "Total number of failed sidecar injection requests."),
		skip: counter("skip", "Total number of skipped sidecar injection requests."),
		seconds: new Histogram({
			name: "sidecar_injection_time_seconds",
			help: "Total time taken for injection in seconds.",
			buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
			registers,
		}),
	};
}
