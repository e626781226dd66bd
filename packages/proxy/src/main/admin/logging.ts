import type { Logger, LogLevel } from "@weft/runtime";
import { logLevelOf } from "../flags.ts";
import { workerLevels } from "../loggers.ts";
import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

/** The logger of the root scope, by Envoy's name for it. */
const mainName = "main";

const usage = [
	"usage: /logging?<name>=<level> (change single level)",
	"usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)",
	"usage: /logging?level=<level> (change all levels)",
	"levels: trace debug info warning error critical off",
].join("\n");

/** Envoy's words for what is not called the same here. */
const envoyNames: Readonly<Partial<Record<LogLevel, string>>> = { warn: "warning", none: "off" };

/** `/logging`: Envoy's, over the scopes that this proxy's loggers have. All or nothing. */
export function setLogging({ query }: AdminRequest, { logger, pool }: AdminContext): AdminReply {
	const loggers = loggersOf(logger);
	const wanted = new Map<string, LogLevel>();
	for (const [name, level] of changesOf(query, [...loggers.keys()])) {
		if (!loggers.has(name)) return refused(`unknown logger name ${name}`);
		const known = logLevelOf(level);
		if (known === undefined) return refused(`unknown logger level ${level}`);
		wanted.set(name, known);
	}
	for (const [name, level] of wanted) {
		const scope = loggers.get(name);
		if (scope) scope.level = level;
	}
	if (wanted.size > 0) pool.broadcast({ kind: "logLevels", levels: workerLevels(logger) });
	const shown = [...loggers].map(([name, { level }]) => `  ${name}: ${envoyNames[level] ?? level}\n`);
	return { body: `active loggers:\n${shown.join("")}` };
}

const refused = (message: string): AdminReply => ({ status: 400, body: `error: ${message}\n\n${usage}\n` });

/** By name without the root's: `xds` of `proxy.xds`. */
function loggersOf({ scopes }: Logger): ReadonlyMap<string, Pick<Logger, "level">> {
	const [root = ""] = scopes.keys();
	const short = (scope: string) => (scope.startsWith(`${root}.`) ? scope.slice(root.length + 1) : scope);
	const named = [...scopes].map(([scope, logger]) => [scope === root ? mainName : short(scope), logger] as const);
	return new Map(named.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function changesOf(query: URLSearchParams, all: readonly string[]): readonly (readonly [name: string, level: string])[] {
	return [...query].flatMap(([key, value]) => {
		if (key === "level") return all.map((name) => [name, value] as const);
		if (key !== "paths") return [[key, value] as const];
		return value.split(",").map((part) => {
			const [name = "", level = ""] = part.split(":");
			return [name, level] as const;
		});
	});
}
