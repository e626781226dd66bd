import { stringify } from "yaml";

export const outputFormats = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** JSON or YAML of a value; the table is the caller's. */
export function renderValue(value: unknown, format: Exclude<OutputFormat, "table">): string {
	return format === "json" ? `${JSON.stringify(value, null, 2)}\n` : stringify(value);
}
