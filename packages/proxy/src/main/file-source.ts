import type { FSWatcher } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "@weft/runtime";
import { type Any, fromJson, JsonError, messageFns, stripTypeUrl, typeUrls, validateConstraints } from "@weft/xds";
import type { XdsResource } from "@weft/xds/client";
import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";
import { parseYamlSource } from "../config/bootstrap/yaml-source.ts";
import { isObject } from "../config/bootstrap/upgrade-context.ts";
import type { DecodeEnvironment } from "../config/decode/index.ts";
import type { FileSource, ResourceSource } from "../config/resource-source.ts";
import { watchFolder } from "./folder-watch.ts";
import type { WantedNames } from "./wanted-names.ts";
import type { ApplyFrom } from "./xds-updates.ts";

export interface FileSourceOptions {
	readonly dynamic: BootstrapConfig["dynamic"];
	readonly runtime: BootstrapConfig["runtime"];
	readonly apply: ApplyFrom;
	/** Not before the clusters that they name can be there. */
	readonly takesListeners: () => boolean;
	/** A file could not be used: what is to come from it does not. */
	readonly onRefused: (type: FileType, names: ReadonlySet<string> | undefined, file: FileSource) => void;
	readonly environment: Pick<DecodeEnvironment, "readFile">;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

type FileType = "cds" | "lds" | "rtds" | (typeof namedInFiles)[number];

/** Secrets are read otherwise. */
const namedInFiles = ["eds", "rds", "ecds"] as const;

interface Followed {
	readonly type: FileType;
	readonly file: FileSource;
	/** undefined: all that are in it. */
	names: ReadonlySet<string> | undefined;
	watcher: FSWatcher | undefined;
	/** As it was read last. */
	text: string | undefined;
	/** What the file gave, of listeners and clusters: what is gone from the file goes. */
	given: ReadonlySet<string>;
}

/**
 * Resources from files (`path_config_source`): each is a DiscoveryResponse in YAML or JSON. A file is read at once, and
 * again whenever something changed in its folder; one that cannot be read, or is wrong, leaves what was there.
 */
export function followConfigFiles(options: FileSourceOptions): { follow(names: WantedNames): void } {
	const followed = new Map<string, Followed>();
	let round = 0;
	options.signal.addEventListener("abort", () => {
		for (const { watcher } of followed.values()) watcher?.close();
	});
	return {
		follow(asked) {
			const own = ++round;
			const wanted = wantedFiles(options, asked);
			for (const [key, one] of followed) {
				if (wanted.has(key)) continue;
				one.watcher?.close();
				followed.delete(key);
			}
			for (const [key, { type, file, names }] of wanted) {
				// What was read asked for more, and has been followed with all the rest.
				if (round !== own) return;
				const known = followed.get(key);
				if (known === undefined) {
					const fresh: Followed = { type, file, names, watcher: undefined, text: undefined, given: new Set() };
					followed.set(key, fresh);
					start(fresh, options);
					continue;
				}
				const hasMore = isMore(names, known.names);
				known.names = names;
				if (!hasMore) continue;
				// A name that nobody asked for until now may be in a file that is known already.
				known.text = undefined;
				load(known, options);
			}
		},
	};
}

function isMore(names: ReadonlySet<string> | undefined, known: ReadonlySet<string> | undefined): boolean {
	return names !== undefined && known !== undefined && [...names].some((name) => !known.has(name));
}

interface Wanted {
	readonly type: FileType;
	readonly file: FileSource;
	readonly names: Set<string> | undefined;
}

function wantedFiles({ dynamic, runtime, takesListeners }: FileSourceOptions, asked: WantedNames): ReadonlyMap<string, Wanted> {
	const wanted = new Map<string, Wanted>();
	const add = (type: FileType, source: ResourceSource | undefined, name?: string) => {
		if (source?.kind !== "file") return;
		const key = `${type} ${source.path}`;
		let known = wanted.get(key);
		if (known === undefined) wanted.set(key, (known = { type, file: source, names: name === undefined ? undefined : new Set() }));
		if (name !== undefined) known.names?.add(name);
	};
	for (const layer of runtime) if (layer.kind === "discovered") add("rtds", layer.source, layer.resource);
	add("cds", dynamic.cds);
	if (takesListeners()) add("lds", dynamic.lds);
	for (const type of namedInFiles) for (const { name, source } of asked[type].values()) add(type, source, name);
	return wanted;
}

function start(one: Followed, options: FileSourceOptions): void {
	const folder = one.file.watchedFolder ?? dirname(one.file.path);
	try {
		one.watcher = watchFolder(folder, () => load(one, options), options.logger);
	} catch (error) {
		options.logger.error("folder cannot be watched", { folder, error });
	}
	load(one, options);
}

function load(one: Followed, { apply, environment, logger, onRefused }: FileSourceOptions): void {
	const { path } = one.file;
	const fail = (error: string) => {
		logger.error("configuration file refused, what was in force stays", { path, error });
		onRefused(one.type, one.names, one.file);
	};
	let text: string;
	try {
		text = Buffer.from(environment.readFile(path)).toString("utf8");
	} catch (error) {
		return fail((error as Error).message);
	}
	if (text === one.text) return;
	one.text = text;
	const { errors, resources, version } = readResources(text, path, one.type);
	if (errors.length > 0) return fail(errors.join("; "));
	const asked = resources.filter(({ name }) => one.names === undefined || one.names.has(name));
	const names = new Set(asked.map(({ name }) => name));
	// Endpoints and routes are not taken back by leaving them out.
	const removed = one.names === undefined ? [...one.given].filter((name) => !names.has(name)) : [];
	one.given = names;
	void apply({ typeUrl: typeUrls[one.type], version, resources: asked, removed }, one.file).then((rejected) => {
		for (const { name, message } of rejected) fail(`${name}: ${message}`);
	});
}

interface ReadResources {
	readonly resources: readonly XdsResource[];
	readonly version: string;
	/** `file:line:column: message` */
	readonly errors: readonly string[];
}

function readResources(text: string, path: string, type: FileType): ReadResources {
	const { source, problems } = parseYamlSource(path, text);
	if (source === undefined) {
		return { resources: [], version: "", errors: problems.map(({ message, position }) => `${path}:${position.line}:${position.column}: ${message}`) };
	}
	const errors: string[] = [];
	const report = (at: string, message: string): undefined => {
		const { column, line } = source.locate(at);
		errors.push(`${path}:${line}:${column}: ${message}`);
		return undefined;
	};
	const { json } = source;
	const list = isObject(json) ? json["resources"] : undefined;
	if (!Array.isArray(list)) report("", "expected a DiscoveryResponse: a mapping with `resources`");
	const resources = (Array.isArray(list) ? list : []).flatMap((entry: unknown, i) => readResource(entry, `resources[${i}]`, typeUrls[type], report) ?? []);
	const version = isObject(json) ? String(json["version_info"] ?? json["versionInfo"] ?? "") : "";
	return { resources: resources.map((resource) => ({ ...resource, version })), version, errors };
}

function readResource(
	entry: unknown,
	at: string,
	typeUrl: string,
	report: (at: string, message: string) => undefined,
): { readonly name: string; readonly resource: Any } | undefined {
	const typeName = stripTypeUrl(typeUrl);
	if (!isObject(entry)) return report(at, "expected a mapping");
	const { "@type": own = "", ...fields } = entry;
	if (stripTypeUrl(String(own)) !== typeName)
		return report(at, own === "" ? `@type is missing: write ${typeUrl}` : `expected a ${typeName}, got ${String(own)}`);
	try {
		const message = fromJson(typeName, fields) as { readonly name?: string; readonly clusterName?: string };
		const violations = validateConstraints(typeName, message);
		for (const violation of violations) report(at, violation);
		const value = messageFns(typeName)?.encode(message).finish();
		if (value === undefined || violations.length > 0) return undefined;
		return { name: message.name ?? message.clusterName ?? "", resource: { typeUrl, value } };
	} catch (error) {
		const inside = error instanceof JsonError && error.path !== "" ? `${at}.${error.path}` : at;
		return report(inside, (error as Error).message);
	}
}
