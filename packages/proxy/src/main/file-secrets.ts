import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Logger } from "@weft/runtime";
import { fromJson } from "@weft/xds";
import type { ConfigSource } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { type DecodeEnvironment, decodeSecret } from "../config/decode/index.ts";
import { parseYamlSource } from "../config/bootstrap/yaml-source.ts";
import { isObject } from "../config/bootstrap/upgrade-context.ts";
import type { ConfigStore } from "./config-store.ts";
import type { ResourceRecords } from "./resource-records.ts";

export interface FileSecretsOptions {
	readonly sources: ReadonlyMap<string, ConfigSource | undefined>;
	readonly store: ConfigStore;
	readonly records: ResourceRecords;
	readonly environment: DecodeEnvironment;
	readonly logger: Logger;
	readonly nowMs: () => number;
	readonly signal: AbortSignal;
}

/** Writers replace a file in several steps: what they did is read once they paused. */
const settleMs = 100;

/**
 * Secrets from files (`path_config_source`): read at once, and again whenever something moves in the file's folder or in
 * its `watched_directory`, which is how mounted secrets are replaced. A file that cannot be read keeps the old secret.
 */
export function followSecretFiles(options: FileSecretsOptions): { follow(): void } {
	const watchers = new Map<string, FSWatcher>();
	options.signal.addEventListener("abort", () => {
		for (const watcher of watchers.values()) watcher.close();
	});
	return {
		follow() {
			for (const [name, source] of options.sources) {
				const path = source?.pathConfigSource?.path ?? source?.path;
				if (path === undefined || path === "" || watchers.has(name)) continue;
				const load = () => loadSecret(options, name, path);
				watchers.set(name, watchFolder(source?.pathConfigSource?.watchedDirectory?.path ?? dirname(path), load, options.logger));
				load();
			}
		},
	};
}

function watchFolder(folder: string, load: () => void, logger: Logger): FSWatcher {
	let timer: NodeJS.Timeout | undefined;
	const watcher = watch(folder, () => {
		clearTimeout(timer);
		timer = setTimeout(load, settleMs);
	});
	watcher.on("error", (error) => logger.warn("secret files are no longer watched", { folder, error }));
	return watcher;
}

function loadSecret({ environment, logger, nowMs, records, store }: FileSecretsOptions, name: string, path: string): void {
	try {
		const text = Buffer.from(environment.readFile(path)).toString("utf8");
		const message = secretOf(text, path, name);
		const { value, errors } = decodeSecret(message, environment);
		if (value === undefined) throw new Error(errors.join("; "));
		const resource = { typeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", value: Secret.encode(message).finish() };
		records.set("sds", { name, resource, version: "", isStatic: false, updatedMs: nowMs() });
		void store.apply({ secrets: { upsert: [{ ...value, name }], remove: [] } });
	} catch (error) {
		logger.error("secret file not read, the old secret stays", { secret: name, path, error });
	}
}

function secretOf(text: string, path: string, name: string): Secret {
	const { source, problems } = parseYamlSource(basename(path), text);
	if (source === undefined) throw new Error(problems.map(({ message }) => message).join("; "));
	const resources = isObject(source.json) ? source.json["resources"] : undefined;
	for (const resource of Array.isArray(resources) ? resources : []) {
		if (!isObject(resource) || resource["name"] !== name) continue;
		const { "@type": _, ...fields } = resource;
		return fromJson("envoy.extensions.transport_sockets.tls.v3.Secret", fields) as Secret;
	}
	throw new Error(`no secret ${name} among its resources`);
}
