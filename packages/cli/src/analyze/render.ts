import { renderKubeYaml } from "../output/kube-yaml.ts";
import type { Level, Message } from "./messages.ts";

export const formats = ["log", "json", "yaml"] as const;
export type Format = (typeof formats)[number];

const escape = "\u001b";
const colors: Readonly<Record<Level, string>> = { Error: `${escape}[1;31m`, Warning: `${escape}[33m`, Info: "" };

/** As istioctl prints them, to the blank: one a line, or a list of objects with their fields in order. */
export function renderMessages(messages: readonly Message[], format: Format, isColored: boolean): string {
	if (format === "log") return `${messages.map((message) => renderLine(message, isColored)).join("\n")}\n`;
	const ordered = messages.map(({ code, documentationUrl, level, message, origin, reference }) => ({
		code,
		...(documentationUrl !== undefined && { documentationUrl }),
		level,
		message,
		origin,
		...(reference !== undefined && { reference }),
	}));
	return format === "json" ? `${JSON.stringify(ordered, null, "\t")}\n` : renderKubeYaml(ordered);
}

function renderLine({ code, level, message, origin, reference }: Message, isColored: boolean): string {
	const shown = isColored ? `${colors[level]}${level}${escape}[0m` : level;
	return `${shown} [${code}] (${origin}${reference === undefined ? "" : ` ${reference}`}) ${message}`;
}
