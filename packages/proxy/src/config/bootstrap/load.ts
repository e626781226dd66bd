import { fromJson, JsonError, validateConstraints } from "@weft/xds";
import type { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { mergeBootstrap } from "./merge.ts";
import { upgradeBootstrap } from "./upgrade.ts";
import { isObject } from "./upgrade-context.ts";
import { parseYamlSource, type Position } from "./yaml-source.ts";

const typeName = "envoy.config.bootstrap.v3.Bootstrap";

export interface BootstrapText {
	/** File name, or `--config-yaml`. */
	readonly name: string;
	readonly text: string;
}

export interface LoadedBootstrap {
	readonly bootstrap: Bootstrap | undefined;
	/** `file:line:column: message` */
	readonly errors: readonly string[];
	readonly warnings: readonly string[];
}

export interface LoadOptions {
	/** What would be upgraded with a warning is an error. */
	readonly strict: boolean;
}

/** Reads bootstrap files (YAML or JSON), the later merged over the earlier, as Envoy merges `--config-yaml`. Errors are values. */
export function loadBootstrap(texts: readonly BootstrapText[], options: LoadOptions): LoadedBootstrap {
	const errors: string[] = [];
	const warnings: string[] = [];
	let merged: Bootstrap | undefined;
	for (const text of texts) {
		const one = readOne(text, options);
		errors.push(...one.errors);
		warnings.push(...one.warnings);
		if (one.bootstrap) merged = merged === undefined ? one.bootstrap : mergeBootstrap(merged, one.bootstrap);
	}
	return { bootstrap: errors.length === 0 ? merged : undefined, errors, warnings };
}

function readOne({ name, text }: BootstrapText, { strict }: LoadOptions): LoadedBootstrap {
	const { source, problems } = parseYamlSource(name, text);
	const line = (position: Position, message: string) => `${name}:${position.line}:${position.column}: ${message}`;
	if (source === undefined) return { bootstrap: undefined, errors: problems.map(({ position, message }) => line(position, message)), warnings: [] };
	if (source.json === null || source.json === undefined) return { bootstrap: undefined, errors: [`${name}: the file is empty`], warnings: [] };
	if (!isObject(source.json)) return { bootstrap: undefined, errors: [`${name}: expected a mapping`], warnings: [] };
	const { json, upgrades } = upgradeBootstrap(source.json);
	const notes = upgrades.map(({ path, was, fix }) => line(source.locate(path), `${was} is not what Envoy accepts: write ${fix}`));
	const errors = strict ? notes : [];
	const warnings = strict ? [] : notes;
	try {
		const bootstrap = fromJson(typeName, json) as Bootstrap;
		const violations = validateConstraints(typeName, bootstrap).map((violation) => violationLine(source.locate, line, violation));
		return { bootstrap, errors: [...errors, ...violations], warnings };
	} catch (error) {
		if (!(error instanceof JsonError)) throw error;
		const path = error.path;
		const message = path === "" ? error.message : error.message.slice(path.length + 2);
		return { bootstrap: undefined, errors: [...errors, line(source.locate(path), `${path}: ${message}`)], warnings };
	}
}

// A violation names its path in JSON names; the file may have the proto's.
function violationLine(locate: (path: string) => Position, line: (position: Position, message: string) => string, violation: string): string {
	const path = /^\w+ValidationError\.(.*?): /.exec(violation)?.[1] ?? "";
	const snake = path.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
	const inFile = locate(snake);
	return line(inFile.line > 1 ? inFile : locate(path), violation);
}
