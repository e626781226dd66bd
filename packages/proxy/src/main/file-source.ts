import type { FSWatcher } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "@weft/runtime";
import { type Any, fromJson, JsonError, messageFns, stripTypeUrl, typeUrls, validateConstraints } from "@weft/xds";
import type { ApplyUpdate, XdsResource } from "@weft/xds/client";
import type { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { parseYamlSource } from "../config/bootstrap/yaml-source.ts";
import { isObject } from "../config/bootstrap/upgrade-context.ts";
import { fileOfSource } from "../config/decode/config-source.ts";
import type { ConfigFile } from "../config/http-connection-manager.ts";
import type { ConfigStore } from "./config-store.ts";
import { watchFolder } from "./folder-watch.ts";
import { referencesOfExtension, referencesOfListener } from "./references.ts";

export interface FileSourceOptions {
	readonly bootstrap: Bootstrap;
	readonly store: ConfigStore;
	readonly apply: ApplyUpdate;
	/** Throws when it cannot be read. */
	readonly readFile: (path: string) => Uint8Array;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

type FileType = "cds" | "eds" | "lds" | "rds" | "ecds";

interface Followed {
	readonly type: FileType;
	readonly file: ConfigFile;
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
export function followConfigFiles(options: FileSourceOptions): { follow(): void } {
	const followed = new Map<string, Followed>();
	options.signal.addEventListener("abort", () => {
		for (const { watcher } of followed.values()) watcher?.close();
	});
	return {
		follow() {
			const wanted = wantedFiles(options);
			for (const [key, one] of followed) {
				if (wanted.has(key)) continue;
				one.watcher?.close();
				followed.delete(key);
			}
			for (const [key, { type, file, names }] of wanted) {
				const known = followed.get(key);
				if (known === undefined) {
					const fresh: Followed = { type, file, names, watcher: undefined, text: undefined, given: new Set() };
					followed.set(key, fresh);
					start(fresh, options);
				} else if (isMore(names, known.names)) {
					// A name that nobody asked for until now may be in a file that is known already.
					known.names = names;
					known.text = undefined;
					load(known, options);
				}
			}
		},
	};
}

function isMore(names: ReadonlySet<string> | undefined, known: ReadonlySet<string> | undefined): boolean {
	return names !== undefined && known !== undefined && [...names].some((name) => !known.has(name));
}

interface Wanted {
	readonly type: FileType;
	readonly file: ConfigFile;
	readonly names: Set<string> | undefined;
}

function wantedFiles({ bootstrap, store }: FileSourceOptions): ReadonlyMap<string, Wanted> {
	const wanted = new Map<string, Wanted>();
	const add = (type: FileType, file: ConfigFile | undefined, name?: string) => {
		if (file === undefined) return;
		const key = `${type} ${file.path}`;
		let known = wanted.get(key);
		if (known === undefined) wanted.set(key, (known = { type, file, names: name === undefined ? undefined : new Set() }));
		if (name !== undefined) known.names?.add(name);
	};
	add("cds", fileOfSource(bootstrap.dynamicResources?.cdsConfig));
	for (const { assignmentFile, assignmentName } of store.wanted.clusters.values()) if (assignmentName !== undefined) add("eds", assignmentFile, assignmentName);
	add("lds", fileOfSource(bootstrap.dynamicResources?.ldsConfig));
	for (const listener of store.wanted.listeners.values()) {
		const { discovered, routeFiles } = referencesOfListener(listener);
		for (const [name, file] of routeFiles) add("rds", file, name);
		for (const { name, discovery } of discovered) add("ecds", discovery.file, name);
	}
	for (const extension of store.wanted.extensions.values()) for (const [name, file] of referencesOfExtension(extension).routeFiles) add("rds", file, name);
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

function load(one: Followed, { apply, logger, readFile }: FileSourceOptions): void {
	const { path } = one.file;
	const fail = (error: string) => logger.error("configuration file refused, what was in force stays", { path, error });
	let text: string;
	try {
		text = Buffer.from(readFile(path)).toString("utf8");
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
	void apply({ typeUrl: typeUrls[one.type], version, resources: asked, removed }).then((rejected) => {
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
