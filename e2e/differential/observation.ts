import type { Outcome } from "../security/raw-client.ts";
import type { SeenRequest } from "../security/request-reader.ts";

/** Everything that can be seen of one case from outside, with what differs from run to run replaced. */
export interface Observation {
	readonly responses: readonly unknown[];
	/** Whether the proxy had ended the connection a moment after its last response. */
	readonly closed: boolean;
	/** Requests by upstream, in order. */
	readonly upstream: readonly unknown[];
	readonly violations: readonly string[];
	readonly log: readonly unknown[];
	/** Counters that moved, by how much. */
	readonly stats: Readonly<Record<string, number>>;
}

export interface Difference {
	readonly path: string;
	readonly envoy: unknown;
	readonly weft: unknown;
}

const volatileHeaders: Readonly<Record<string, (value: string) => string>> = {
	date: (value) => (Number.isNaN(Date.parse(value)) ? value : "<date>"),
	"x-request-id": (value) => value.replace(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "<uuid>"),
	// What is left for a second attempt.
	"x-envoy-expected-rq-timeout-ms": (value) => (/^(1[2-5]\d{3}|29\d\d|3000)$/.test(value) ? "<all but a moment>" : value),
	"x-envoy-upstream-service-time": (value) => (/^\d+$/.test(value) ? "<ms>" : value),
};

function settle(name: string, value: string): string {
	const fixed = Object.hasOwn(volatileHeaders, name) ? (volatileHeaders[name] as (value: string) => string)(value) : value;
	return fixed.replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>");
}

/** Sorted by name; values of one name keep their order. Names keep their case where it is not all lower. */
export function headerLines(headers: Iterable<readonly [string, string]>): readonly string[] {
	const lines = [...headers].map(([name, value]) => [name, settle(name.toLowerCase(), value)] as const);
	return lines
		.toSorted(([a], [b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : a.toLowerCase() > b.toLowerCase() ? 1 : 0))
		.map(([name, value]) => `${name}: ${value}`);
}

export function describeResponse(outcome: Outcome): unknown {
	if (typeof outcome === "string") return outcome;
	const [first = "", ...lines] = outcome.head.split("\r\n");
	const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()] as const);
	return { line: first, headers: headerLines(headers), body: settle("", outcome.body), interim: outcome.interim };
}

export function describeRequest(upstream: string, { method, target, headers, body, trailers }: SeenRequest): unknown {
	return { upstream, line: `${method} ${target}`, headers: headerLines(headers), body, trailers: headerLines(trailers) };
}

/** Where two observations are not the same, by path. */
export function differences(envoy: unknown, weft: unknown, path = ""): readonly Difference[] {
	if (isRecord(envoy) && isRecord(weft)) {
		const keys = [...new Set([...Object.keys(envoy), ...Object.keys(weft)])].sort();
		return keys.flatMap((key) => differences(envoy[key], weft[key], path === "" ? key : `${path}/${key}`));
	}
	if (Array.isArray(envoy) && Array.isArray(weft)) {
		if (path.endsWith("/headers") || path.endsWith("/trailers")) return lineDifferences(envoy as string[], weft as string[], path);
		const length = Math.max(envoy.length, weft.length);
		return Array.from({ length }, (_, i) => differences(envoy[i], weft[i], `${path}/${i}`)).flat();
	}
	return Object.is(envoy, weft) ? [] : [{ path, envoy, weft }];
}

/** Header lines that only one side has. */
function lineDifferences(envoy: readonly string[], weft: readonly string[], path: string): readonly Difference[] {
	const nameOf = (line: string) => line.slice(0, line.indexOf(":")).toLowerCase();
	const names = [...new Set([...envoy, ...weft].map(nameOf))];
	return names.flatMap((name) => {
		const [a, b] = [envoy, weft].map((lines) => lines.filter((line) => nameOf(line) === name).join("\n"));
		return a === b ? [] : [{ path: `${path}/${name}`, envoy: a, weft: b }];
	});
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
