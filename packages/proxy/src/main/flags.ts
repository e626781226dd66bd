import { parseArgs } from "node:util";
import type { LogLevel } from "@weft/runtime";
import type { ComponentLevels } from "./loggers.ts";

export interface Flags {
	readonly configPath: string | undefined;
	readonly configYaml: string | undefined;
	readonly mode: "serve" | "validate";
	readonly strict: boolean;
	/** undefined: as many as there are CPUs for this process. */
	readonly concurrency: number | undefined;
	readonly logLevel: LogLevel;
	/** `--component-log-level`, by logger. */
	readonly componentLevels: ComponentLevels;
	readonly serviceNode: string | undefined;
	readonly serviceCluster: string | undefined;
	/** undefined: not given. */
	readonly drainTimeSeconds: number | undefined;
	readonly adminAddressPath: string | undefined;
	/** How long a line of an access log may wait to be written; undefined: not given. */
	readonly fileFlushIntervalMs: number | undefined;
}

export type ParsedFlags =
	| { readonly kind: "flags"; readonly flags: Flags; readonly warnings: readonly string[] }
	| { readonly kind: "help" | "version" }
	| { readonly kind: "error"; readonly message: string };

const own = {
	"config-path": { type: "string", short: "c" },
	"config-yaml": { type: "string" },
	mode: { type: "string" },
	strict: { type: "boolean" },
	concurrency: { type: "string" },
	"log-level": { type: "string", short: "l" },
	"component-log-level": { type: "string" },
	"service-node": { type: "string" },
	"service-cluster": { type: "string" },
	"drain-time-s": { type: "string" },
	"admin-address-path": { type: "string" },
	"file-flush-interval-msec": { type: "string" },
	version: { type: "boolean" },
	help: { type: "boolean", short: "h" },
} as const;

/** Flags of Envoy that mean nothing here. They are accepted, so that its command lines keep working, and named in one warning. */
const inert = {
	"base-id": { type: "string" },
	"use-dynamic-base-id": { type: "boolean" },
	"base-id-path": { type: "string" },
	"allow-unknown-fields": { type: "boolean" },
	"allow-unknown-static-fields": { type: "boolean" },
	"reject-unknown-dynamic-fields": { type: "boolean" },
	"ignore-unknown-dynamic-fields": { type: "boolean" },
	"skip-deprecated-logs": { type: "boolean" },
	"log-format": { type: "string" },
	"log-format-escaped": { type: "boolean" },
	"log-path": { type: "string" },
	"enable-fine-grain-logging": { type: "boolean" },
	"hot-restart-version": { type: "boolean" },
	"restart-epoch": { type: "string" },
	"parent-shutdown-time-s": { type: "string" },
	"drain-strategy": { type: "string" },
	"disable-hot-restart": { type: "boolean" },
	"enable-mutex-tracing": { type: "boolean" },
	"cpuset-threads": { type: "boolean" },
	"service-zone": { type: "string" },
	"file-flush-min-size-kb": { type: "string" },
	"local-address-ip-version": { type: "string" },
	"socket-path": { type: "string" },
	"socket-mode": { type: "string" },
	"disable-extensions": { type: "string" },
	"enable-core-dump": { type: "boolean" },
	"stats-tag": { type: "string", multiple: true },
	"bootstrap-version": { type: "string" },
} as const;

// Envoy's words on the left, the logger's on the right.
const levels: Readonly<Record<string, LogLevel>> = {
	trace: "debug",
	debug: "debug",
	info: "info",
	warning: "warn",
	warn: "warn",
	error: "error",
	critical: "error",
	fatal: "error",
	off: "none",
	none: "none",
};

export function logLevelOf(name: string): LogLevel | undefined {
	return Object.hasOwn(levels, name) ? levels[name] : undefined;
}

/** `rbac:debug,router:info`; a text that is not so: what is wrong with it. */
export function componentLevelsOf(text: string): ComponentLevels | string {
	const found = new Map<string, LogLevel>();
	for (const part of text.split(",").filter(Boolean)) {
		const [name = "", word, ...rest] = part.split(":");
		if (name === "" || word === undefined || rest.length > 0) return `expected LOGGER:LEVEL,…, got ${part}`;
		const level = logLevelOf(word);
		if (level === undefined) return `unknown level ${word}; known: ${Object.keys(levels).join(", ")}`;
		found.set(name, level);
	}
	return found;
}

export function parseFlags(args: readonly string[]): ParsedFlags {
	let values: Readonly<Record<string, unknown>>;
	try {
		values = parseArgs({ args: [...args], options: { ...own, ...inert }, strict: true, allowPositionals: false }).values;
	} catch (error) {
		return { kind: "error", message: (error as Error).message };
	}
	if (values["help"] === true) return { kind: "help" };
	if (values["version"] === true) return { kind: "version" };
	const text = (name: keyof typeof own) => values[name] as string | undefined;
	const mode = text("mode") ?? "serve";
	if (mode !== "serve" && mode !== "validate") return { kind: "error", message: `--mode: expected serve or validate, got ${mode}` };
	const logLevel = logLevelOf(text("log-level") ?? "info");
	if (logLevel === undefined) return { kind: "error", message: `--log-level: unknown level ${text("log-level")}; known: ${Object.keys(levels).join(", ")}` };
	const componentLevels = componentLevelsOf(text("component-log-level") ?? "");
	if (typeof componentLevels === "string") return { kind: "error", message: `--component-log-level: ${componentLevels}` };
	const numbers = ["concurrency", "drain-time-s", "file-flush-interval-msec"] as const;
	for (const name of numbers) {
		const value = text(name);
		if (value !== undefined && !/^\d{1,9}$/.test(value)) return { kind: "error", message: `--${name}: expected a whole number, got ${value}` };
	}
	const count = (name: (typeof numbers)[number]) => (text(name) === undefined ? undefined : Number(text(name)));
	const ignored = Object.keys(inert).filter((name) => values[name] !== undefined);
	const flags: Flags = {
		configPath: text("config-path"),
		configYaml: text("config-yaml"),
		mode,
		strict: values["strict"] === true,
		concurrency: count("concurrency"),
		logLevel,
		componentLevels,
		serviceNode: text("service-node"),
		serviceCluster: text("service-cluster"),
		drainTimeSeconds: count("drain-time-s"),
		adminAddressPath: text("admin-address-path"),
		fileFlushIntervalMs: count("file-flush-interval-msec"),
	};
	if (flags.configPath === undefined && flags.configYaml === undefined)
		return { kind: "error", message: "a configuration is needed: -c FILE or --config-yaml YAML" };
	return { kind: "flags", flags, warnings: ignored.length === 0 ? [] : [`these flags have no effect here: ${ignored.map((name) => `--${name}`).join(", ")}`] };
}

export const helpText = `weft-proxy: a proxy that runs Envoy's configuration

  weft-proxy -c FILE [flags]     serve a bootstrap file (YAML or JSON)
  weft-proxy sidecar [flags]     serve as a sidecar of a Weft or Istio control plane
  weft-proxy proxy ROLE [flags]  serve in a pod, configured by its environment
  weft-proxy wait, request       hooks of injected pods
  weft-proxy agent [flags]       run a foreign Envoy with a workload identity

  -c, --config-path FILE         bootstrap file
      --config-yaml YAML         merged over the file
      --mode serve|validate      validate: check the configuration and exit
      --strict                   refuse what would be upgraded from the v2 API
      --concurrency N            worker threads (default: up to the CPUs of this process, as
                                 the work asks for them)
  -l, --log-level LEVEL          trace, debug, info, warning, error, critical, off
      --component-log-level NAME:LEVEL,…  of single loggers (POST /logging names them)
      --service-node ID          node.id where the file has none
      --service-cluster NAME     node.cluster where the file has none
      --drain-time-s N           how long connections may take to finish on SIGTERM (default 5)
      --admin-address-path FILE  where to write the admin server's address
      --file-flush-interval-msec N
                                 how long lines of access logs may wait (default 1000)
      --version, --help
`;
