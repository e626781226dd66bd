import type { FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import type { Logger } from "@weft/runtime";
import { fromJson } from "@weft/xds";
import { Secret as SecretMessage } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { type DecodeEnvironment, decodeSecret } from "../config/decode/index.ts";
import { parseYamlSource } from "../config/bootstrap/yaml-source.ts";
import { isObject } from "../config/bootstrap/upgrade-context.ts";
import type { ResourceReference } from "../config/resource-source.ts";
import type { ConfigStore } from "./config-store.ts";
import { watchFolderWhenThere } from "./folder-watch.ts";
import { foldersOf, parseNamedFiles, readNamedFiles } from "./named-files.ts";
import type { ResourceRecords } from "./resource-records.ts";

export interface FileSecretsOptions {
	readonly store: ConfigStore;
	readonly records: ResourceRecords;
	readonly environment: DecodeEnvironment;
	/** Do names such as `file-cert:CERT~KEY` stand for files of this process, as they do for Istio's agent? */
	readonly readsNamedFiles: boolean;
	readonly logger: Logger;
	readonly nowMs: () => number;
	readonly signal: AbortSignal;
}

/**
 * Secrets from files (`path_config_source`, and those that Istio names by their files): read at once, and again whenever something moves in the file's folder or in
 * its `watched_directory`, which is how mounted secrets are replaced. A file that cannot be read keeps the old secret.
 */
export function followSecretFiles(options: FileSecretsOptions): { follow(secrets: ReadonlyMap<string, ResourceReference>): void } {
	const watchers = new Map<string, readonly Pick<FSWatcher, "close">[]>();
	options.signal.addEventListener("abort", () => {
		for (const watcher of [...watchers.values()].flat()) watcher.close();
	});
	return {
		follow(secrets) {
			for (const [key, own] of watchers) {
				if (secrets.has(key)) continue;
				for (const watcher of own) watcher.close();
				watchers.delete(key);
			}
			for (const [key, reference] of secrets) {
				if (watchers.has(key)) continue;
				const origin = originOf(reference, options);
				if (origin === undefined) continue;
				const load = () => loadSecret(options, reference.name, key, origin.read);
				watchers.set(
					key,
					origin.folders.map((folder) => watchFolderWhenThere(folder, load, options.logger)),
				);
				load();
			}
		},
	};
}

interface Origin {
	/** Where something moves when the secret is replaced. */
	readonly folders: readonly string[];
	/** Throws where it is not to be had. */
	readonly read: () => SecretMessage;
}

function originOf({ name, source }: ResourceReference, { environment, readsNamedFiles }: FileSecretsOptions): Origin | undefined {
	if (source?.kind === "file") {
		const { path, watchedFolder } = source;
		return { folders: [watchedFolder ?? dirname(path)], read: () => secretOf(Buffer.from(environment.readFile(path)).toString("utf8"), path, name) };
	}
	const files = readsNamedFiles ? parseNamedFiles(name) : undefined;
	return files && { folders: foldersOf(files), read: () => readNamedFiles(name, files, environment.readFile) };
}

function loadSecret({ environment, logger, nowMs, records, store }: FileSecretsOptions, name: string, key: string, read: () => SecretMessage): void {
	try {
		const message = read();
		const { value, errors } = decodeSecret(message, environment);
		if (value === undefined) throw new Error(errors.join("; "));
		const resource = { typeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", value: SecretMessage.encode(message).finish() };
		records.set("sds", { name, key, resource, version: "", isStatic: false, updatedMs: nowMs() });
		void store.apply({ secrets: { upsert: [{ ...value, name: key }], remove: [] } });
	} catch (error) {
		logger.error("secret file not read, the old secret stays", { secret: name, error });
		// Without any: what needs it serves without, and refuses handshakes. What it replaces may be plain text, and must not go on.
		if (!store.wanted.secrets.has(key)) void store.apply({ expired: [`sds:${key}`] });
	}
}

function secretOf(text: string, path: string, name: string): SecretMessage {
	const { source, problems } = parseYamlSource(basename(path), text);
	if (source === undefined) throw new Error(problems.map(({ message }) => message).join("; "));
	const resources = isObject(source.json) ? source.json["resources"] : undefined;
	for (const resource of Array.isArray(resources) ? resources : []) {
		if (!isObject(resource) || resource["name"] !== name) continue;
		const { "@type": _, ...fields } = resource;
		return fromJson("envoy.extensions.transport_sockets.tls.v3.Secret", fields) as SecretMessage;
	}
	throw new Error(`no secret ${name} among its resources`);
}
