import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Container, Diagnostic } from "@weft/api";
import { parse } from "yaml";
import { CommandError } from "../output/errors.ts";

/** How an image runs as a process on this machine. */
export interface LocalProcess {
	readonly command: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly workingDir: string;
}

/** What `weft.local.yaml` says: image (with or without tag) → process. */
export type ImageMap = ReadonlyMap<string, LocalProcess>;

/** The annotation of a pod (or pod template) that runs its one container by a shell-like command line. */
export const commandAnnotation = "weft.dev/command";

/** Reads `weft.local.yaml`. Paths in it are relative to its own folder. Throws a CommandError with the file's name on what is not of that form. */
export function readImageMap(file: string): ImageMap {
	const content = readYaml(file);
	const images = isMap(content) ? content["images"] : undefined;
	if (!isMap(images)) throw new CommandError(`${file}: expected "images:", a map from image to {command, env}`);
	const folder = dirname(resolve(file));
	return new Map(Object.entries(images).map(([image, entry]) => [image, processOf(file, folder, image, isMap(entry) ? entry : {})]));
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readYaml(file: string): unknown {
	try {
		return parse(readFileSync(file, "utf8"));
	} catch (error) {
		throw new CommandError(`${file}: ${error instanceof Error ? error.message.trimEnd() : String(error)}`);
	}
}

function processOf(file: string, folder: string, image: string, { command, env = {}, workingDir = "." }: Readonly<Record<string, unknown>>): LocalProcess {
	if (!Array.isArray(command) || command.length === 0 || !command.every((part) => typeof part === "string")) {
		throw new CommandError(`${file}: images["${image}"].command: expected a list of strings`);
	}
	if (!isMap(env)) throw new CommandError(`${file}: images["${image}"].env: expected a map from name to value`);
	const variables = Object.entries(env).map(([name, value]) => [name, String(value)] as const);
	// Parts that name a file beside weft.local.yaml are made absolute, so that a process may run anywhere.
	const parts = command.map((part: string) => (/^\.{1,2}\//.test(part) ? resolve(folder, part) : part));
	return { command: parts, env: Object.fromEntries(variables), workingDir: resolve(folder, String(workingDir)) };
}

function withoutTag(image: string): string {
	const digest = image.split("@")[0] ?? image;
	const slash = digest.lastIndexOf("/");
	const colon = digest.indexOf(":", slash + 1);
	return colon < 0 ? digest : digest.slice(0, colon);
}

/** The process of a container: by annotation, by full image, by image without tag; else undefined. */
export function resolveProcess(
	container: Container,
	annotations: Readonly<Record<string, string>>,
	images: ImageMap,
	folder: string,
): LocalProcess | undefined {
	const line = annotations[`${commandAnnotation}.${container.name}`] ?? annotations[commandAnnotation];
	if (line !== undefined) return { command: splitCommand(line), env: {}, workingDir: folder };
	const image = container.image ?? "";
	return images.get(image) ?? images.get(withoutTag(image));
}

/** Splits a command line at blanks; single and double quotes keep blanks. */
export function splitCommand(line: string): string[] {
	const parts = line.match(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g) ?? [];
	return parts.map((part) => part.replace(/"([^"]*)"|'([^']*)'/g, (_, double?: string, single?: string) => double ?? single ?? ""));
}

export function unmappedImage(
	container: Container,
	where: { readonly kind: string; readonly namespace: string; readonly name: string; readonly file?: string; readonly line?: number },
): Diagnostic {
	const image = container.image ?? "";
	return {
		severity: "error",
		code: "WEFT-L001",
		kind: where.kind,
		namespace: where.namespace,
		name: where.name,
		path: "spec.template.spec.containers",
		message: `no local process is known for image "${image}" of container "${container.name}": add it to weft.local.yaml (images: {"${withoutTag(image)}": {command: [...]}}), or annotate the pod template with ${commandAnnotation}: "<command>"`,
		...(where.file === undefined ? {} : { file: where.file }),
		...(where.line === undefined ? {} : { line: where.line, column: 1 }),
	};
}
