import { readFileSync } from "node:fs";
import type { Logger } from "@weft/runtime";
import { watchFolderWhenThere } from "../main/folder-watch.ts";
import { foldersOf, parseNamedFiles, readNamedFiles } from "../main/named-files.ts";
import { resourceOf, type SecretResource, type SecretSet } from "./secrets.ts";

/** Secrets that a control plane names by files of this container: `file-cert:CERT~KEY`, `file-root:CA`, as Istio's agent serves them. */
export interface NamedFileSecrets {
	/** Those that can be read; a new set when one has changed. */
	readonly current: SecretSet;
	/** Reads those of these names that are files', and again whenever something moves in their folders. */
	follow(names: readonly string[]): void;
	stop(): void;
}

/** Names that are followed; a control plane that has named more forgets the oldest. */
const followedMax = 256;

export const isNamedFile = (name: string): boolean => parseNamedFiles(name) !== undefined;

/** `onChange`: a file that was followed already has changed. One that cannot be read keeps what it was. */
export function followNamedFiles(onChange: () => void, logger: Logger): NamedFileSecrets {
	const watchers = new Map<string, readonly { close(): void }[]>();
	let current: SecretSet = new Map<string, SecretResource>();
	const load = (name: string): void => {
		const files = parseNamedFiles(name);
		if (files === undefined) return;
		try {
			current = new Map([...current, [name, resourceOf(readNamedFiles(name, files, (path) => readFileSync(path)))]]);
		} catch (error) {
			logger.error("secret file not read, the old secret stays", { secret: name, error });
		}
	};
	const forget = (name: string): void => {
		for (const watcher of watchers.get(name) ?? []) watcher.close();
		watchers.delete(name);
		current = new Map([...current].filter(([known]) => known !== name));
	};
	return {
		get current() {
			return current;
		},
		follow(names) {
			for (const name of names) {
				const files = parseNamedFiles(name);
				if (files === undefined || watchers.has(name)) continue;
				const [oldest] = watchers.keys();
				if (watchers.size >= followedMax && oldest !== undefined) forget(oldest);
				const reload = () => {
					load(name);
					onChange();
				};
				watchers.set(
					name,
					foldersOf(files).map((folder) => watchFolderWhenThere(folder, reload, logger)),
				);
				load(name);
			}
		},
		stop() {
			for (const name of [...watchers.keys()]) forget(name);
		},
	};
}
