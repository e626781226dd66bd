import type { CustomTag } from "../../config/telemetry.ts";
import type { FormatterEnvironment } from "../headers/formatter.ts";
import type { StreamInfo } from "../log/stream-info.ts";

/** Reads one tag of a finished request; "": the tag is left out. */
export interface CompiledTag {
	readonly name: string;
	readonly read: (info: StreamInfo) => string;
}

export function compileCustomTags(tags: readonly CustomTag[], environment: FormatterEnvironment): readonly CompiledTag[] {
	return tags.map((tag) => ({ name: tag.tag, read: compileRead(tag, environment) }));
}

function compileRead(tag: CustomTag, environment: FormatterEnvironment): CompiledTag["read"] {
	switch (tag.kind) {
		case "literal":
			return () => tag.value;
		case "environment": {
			const value = environment.env[tag.name] ?? tag.defaultValue;
			return () => value;
		}
		case "header":
			return ({ request }) => request?.get(tag.name) ?? tag.defaultValue;
		case "metadata":
			return (info) => textOf(find(tag.of === "request" ? info.dynamicMetadata : info.routeMetadata, tag.path)) ?? tag.defaultValue;
	}
}

function find(metadata: unknown, path: readonly string[]): unknown {
	let at = metadata;
	for (const key of path) {
		if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
		at = (at as Readonly<Record<string, unknown>>)[key];
	}
	return at;
}

function textOf(value: unknown): string | undefined {
	if (value === undefined || value === null) return undefined;
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}
