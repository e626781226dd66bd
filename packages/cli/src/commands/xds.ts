import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeNode, offlineSecrets, type ProxyNode, type PushSnapshot, translateAll } from "@weft/pilot";
import { fromJson, type Json, registerMessages } from "@weft/xds";
import type { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { allMessages } from "@weft/xds/registry";
import { pushOfFiles, proxyNodeOf } from "../offline/push.ts";
import { CommandError } from "../output/errors.ts";
import { renderValue } from "../output/format.ts";

export interface XdsOptions {
	readonly filename: readonly string[];
	readonly proxy?: string;
	readonly node?: string;
	readonly meshConfig?: string;
	readonly meshNetworks?: string;
	readonly type?: string;
	readonly output: "json" | "yaml";
	readonly out?: string;
}

const types = ["cds", "lds", "rds", "eds", "ecds", "sds"] as const;
type Type = (typeof types)[number];

/** What a proxy would be sent, without any control plane running. */
export function xdsCommand(options: XdsOptions): void {
	registerMessages(allMessages);
	const push = pushOfFiles(options.filename, options.meshConfig, options.meshNetworks);
	const node = nodeOf(options, push);
	const wanted = typesOf(options.type);
	const resources = resourcesOf(push, node, wanted);
	if (options.out !== undefined) return writeOut(options.out, wanted, resources);
	const shown = Object.fromEntries(wanted.map((type) => [type, resources[type]]));
	process.stdout.write(renderValue(shown, options.output));
}

/** The control plane would go on without a secret that is wrong, too, so this is no failure. */
function resourcesOf(push: PushSnapshot, node: ProxyNode, wanted: readonly Type[]): Readonly<Record<Type, readonly Json[]>> {
	const resources = translateAll(push, node);
	if (!wanted.includes("sds")) return { ...resources, sds: [] };
	const { sds, problems } = offlineSecrets(push, node, resources);
	for (const problem of problems) process.stderr.write(`${problem}; the proxy would wait for it\n`);
	return { ...resources, sds };
}

function nodeOf({ proxy, node }: XdsOptions, push: PushSnapshot): ProxyNode {
	if ((proxy === undefined) === (node === undefined)) throw new CommandError("name the proxy by --proxy POD.NAMESPACE, or by --node FILE", 2);
	if (node !== undefined) return readNode(node, push);
	const [name = "", namespace = "default"] = (proxy ?? "").split(".");
	const pod = push.workloads.podByName.get(`${namespace}/${name}`);
	if (!pod) throw new CommandError(`no pod ${name} in namespace ${namespace}; pods: ${[...push.workloads.podByName.keys()].slice(0, 20).join(", ") || "none"}`);
	return proxyNodeOf(pod, push);
}

/** A node as Envoy introduces itself, or what holds one under `node`, as a bootstrap does. */
function readNode(file: string, push: PushSnapshot): ProxyNode {
	try {
		const content = JSON.parse(readFileSync(file, "utf8")) as { readonly node?: unknown } | null;
		return decodeNode(fromJson("envoy.config.core.v3.Node", content?.node ?? content) as Node, push);
	} catch (error) {
		throw new CommandError(`--node ${file}: ${error instanceof Error ? error.message : String(error)}`);
	}
}

function typesOf(text: string | undefined): readonly Type[] {
	if (text === undefined) return types;
	const wanted = text.split(",").map((t) => t.trim().toLowerCase());
	const unknown = wanted.find((t) => !(types as readonly string[]).includes(t));
	if (unknown !== undefined) throw new CommandError(`--type: "${unknown}" is not one of ${types.join(", ")}`, 2);
	return wanted as Type[];
}

function writeOut(directory: string, wanted: readonly Type[], resources: Readonly<Record<Type, readonly Json[]>>): void {
	mkdirSync(directory, { recursive: true });
	for (const type of wanted) {
		const content = resources[type];
		if (content.length > 0) writeFileSync(join(directory, `${type}.json`), `${JSON.stringify(content, null, 1)}\n`);
	}
}
