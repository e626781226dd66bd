import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasErrors } from "@weft/api";
import { admitObjects, createStore, decodeYaml } from "@weft/galley";
import { buildPush, decodeNode, objectChecks, type ProxyNode, type PushSnapshot, translateAll } from "@weft/pilot";
import { fromJson, type Json, registerMessages } from "@weft/xds";
import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { allMessages } from "@weft/xds/registry";
import { readSources } from "../local/mesh-client.ts";
import { CommandError, printDiagnostics } from "../output/errors.ts";
import { renderValue } from "../output/format.ts";
import { readMeshConfig } from "./mesh-config.ts";

export interface XdsOptions {
	readonly filename: readonly string[];
	readonly proxy?: string;
	readonly node?: string;
	readonly meshConfig?: string;
	readonly type?: string;
	readonly output: "json" | "yaml";
	readonly out?: string;
}

const types = ["cds", "lds", "rds", "eds", "ecds", "sds"] as const;
type Type = (typeof types)[number];

/** What a proxy would be sent, without any control plane running. */
export function xdsCommand(options: XdsOptions): void {
	registerMessages(allMessages);
	const push = pushOf(options);
	const node = nodeOf(options, push);
	const wanted = typesOf(options.type);
	const resources = translateAll(push, node) as Partial<Record<Type, readonly Json[]>>;
	if (options.out !== undefined) return writeOut(options.out, wanted, resources);
	const shown = Object.fromEntries(wanted.map((type) => [type, resources[type] ?? []]));
	process.stdout.write(renderValue(shown, options.output));
}

function pushOf({ filename, meshConfig }: XdsOptions): PushSnapshot {
	const decoded = readSources(filename).map(({ file, text }) => decodeYaml(text, file));
	const store = createStore();
	const admitted = admitObjects(
		decoded.flatMap((d) => d.objects),
		store.snapshot(),
		objectChecks,
	);
	const diagnostics = [...decoded.flatMap((d) => d.diagnostics), ...admitted.diagnostics];
	printDiagnostics(diagnostics);
	if (hasErrors(diagnostics)) throw new CommandError("the configuration is refused");
	store.apply({ source: "files", upsert: admitted.accepted, remove: [] });
	return buildPush({ snapshot: store.snapshot(), meshConfig: readMeshConfig(meshConfig), clusterId: "Kubernetes" });
}

function nodeOf({ proxy, node }: XdsOptions, push: PushSnapshot): ProxyNode {
	if ((proxy === undefined) === (node === undefined)) throw new CommandError("name the proxy by --proxy POD.NAMESPACE, or by --node FILE", 2);
	if (node !== undefined) {
		const content = JSON.parse(readFileSync(node, "utf8")) as { readonly node?: unknown };
		return decodeNode(fromJson("envoy.config.core.v3.Node", content.node ?? content) as Node, push);
	}
	const [name = "", namespace = "default"] = (proxy ?? "").split(".");
	const pod = push.workloads.podByName.get(`${namespace}/${name}`);
	if (!pod) throw new CommandError(`no pod ${name} in namespace ${namespace}; pods: ${[...push.workloads.podByName.keys()].slice(0, 20).join(", ") || "none"}`);
	const id = `sidecar~${pod.ips[0] ?? "0.0.0.0"}~${name}.${namespace}~${namespace}.svc.cluster.local`;
	const metadata = {
		NAME: name,
		NAMESPACE: namespace,
		CLUSTER_ID: "Kubernetes",
		MESH_ID: "cluster.local",
		ISTIO_VERSION: "1.30.3",
		INTERCEPTION_MODE: "REDIRECT",
		INSTANCE_IPS: pod.ips.join(","),
		LABELS: pod.labels,
		SERVICE_ACCOUNT: pod.serviceAccount,
		WORKLOAD_NAME: pod.workloadName,
		NODE_NAME: pod.nodeName,
	};
	return decodeNode(Node.fromPartial({ id, cluster: `${name}.${namespace}`, metadata }), push);
}

function typesOf(text: string | undefined): readonly Type[] {
	if (text === undefined) return types;
	const wanted = text.split(",").map((t) => t.trim().toLowerCase());
	const unknown = wanted.find((t) => !(types as readonly string[]).includes(t));
	if (unknown !== undefined) throw new CommandError(`--type: "${unknown}" is not one of ${types.join(", ")}`, 2);
	return wanted as Type[];
}

function writeOut(directory: string, wanted: readonly Type[], resources: Partial<Record<Type, readonly Json[]>>): void {
	mkdirSync(directory, { recursive: true });
	for (const type of wanted) {
		const content = resources[type] ?? [];
		if (content.length > 0) writeFileSync(join(directory, `${type}.json`), `${JSON.stringify(content, null, 1)}\n`);
	}
}
