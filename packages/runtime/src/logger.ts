import { inspect } from "node:util";

export const logLevels = ["debug", "info", "warn", "error", "none"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Structured fields of one line; values are printed as JSON scalars, errors as their message. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
	debug(message: string, fields?: LogFields): void;
	info(message: string, fields?: LogFields): void;
	warn(message: string, fields?: LogFields): void;
	error(message: string, fields?: LogFields): void;
	/** A logger whose lines carry `scope`; its level can be set alone. One that is asked for twice has one level. */
	child(scope: string): Logger;
	/** The level of this scope; that of the root is of every scope that has none of its own. */
	level: LogLevel;
	/** Every scope of the same root by its name, the root's own among them. */
	readonly scopes: ReadonlyMap<string, Pick<Logger, "level">>;
}

export interface LoggerOptions {
	readonly level?: LogLevel;
	/** `text`: Istio's tab-separated lines; `json`: one object a line. */
	readonly format?: "text" | "json";
	readonly scope?: string;
	readonly write?: (line: string) => void;
	readonly nowMs?: () => number;
}

/**
 * A logger of eighty lines instead of a library: the sidecar carries it in every pod, and the smallest one weighs 11 MB there.
 */
export function createLogger(options: LoggerOptions = {}): Logger {
	const write = options.write ?? ((line: string) => void process.stderr.write(line));
	const nowMs = options.nowMs ?? Date.now;
	const render = options.format === "json" ? renderJson : renderText;
	const root = { level: options.level ?? "info" };
	const scopes = new Map<string, Logger>();
	const make = (scope: string, own: { level?: LogLevel }): Logger => {
		const at =
			(level: LogLevel) =>
			(message: string, fields: LogFields = {}) => {
				if (logLevels.indexOf(level) < logLevels.indexOf(own.level ?? root.level)) return;
				write(render(new Date(nowMs()).toISOString(), level, scope, message, fields));
			};
		const logger: Logger = {
			scopes,
			debug: at("debug"),
			info: at("info"),
			warn: at("warn"),
			error: at("error"),
			child(name) {
				const full = scope === "default" ? name : `${scope}.${name}`;
				return scopes.get(full) ?? make(full, {});
			},
			get level() {
				return own.level ?? root.level;
			},
			set level(level) {
				own.level = level;
			},
		};
		scopes.set(scope, logger);
		return logger;
	};
	return make(options.scope ?? "default", root);
}

function plain(value: unknown): unknown {
	if (value instanceof Error) return value.message;
	if (typeof value === "bigint") return value.toString();
	return value;
}

function renderJson(time: string, level: LogLevel, scope: string, msg: string, fields: LogFields): string {
	const rest = Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, plain(v)]));
	return `${JSON.stringify({ time, level, scope, msg, ...rest })}\n`;
}

// Control characters are escaped, so a hostile value stays inside its line.
function renderText(time: string, level: LogLevel, scope: string, msg: string, fields: LogFields): string {
	const rest = Object.entries(fields).map(([k, v]) => `\t${k}=${printable(plain(v))}`);
	return `${time}\t${level}\t${scope}\t${escapeControls(msg)}${rest.join("")}\n`;
}

function printable(value: unknown): string {
	if (typeof value === "string") return /[\s"=]|^$/.test(value) ? JSON.stringify(value) : escapeControls(value);
	return typeof value === "object" ? inspect(value, { breakLength: Number.POSITIVE_INFINITY }) : String(value);
}

function escapeControls(text: string): string {
	return text.replace(/[\u0000-\u001f\u007f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
