import { isUtf8 } from "node:buffer";
import type { AccessLogFilter, FileAccessLog } from "../../config/access-logs.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import { compileCel } from "../cel/cel.ts";
import { compileFormat, compileTypedFormat, type Formatter, type FormatterEnvironment, tellsEmpty } from "../headers/formatter.ts";
import type { OperatorValue } from "../headers/operators.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileHeaderMatch } from "../match/header-match.ts";
import { compileMetadataMatch, readMetadata } from "../match/metadata-match.ts";
import { grpcStatusOf, grpcStatusOfHttp } from "../headers/grpc-status.ts";
import { logTypeOf } from "./log-type.ts";
import { responseFlagBit } from "./response-flags.ts";
import type { StreamInfo } from "./stream-info.ts";

/** Envoy's format when a configuration names none. */
export const defaultAccessLogFormat =
	'[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
	'%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

/** Istio's format for mesh-wide access logging in text. */
export const istioAccessLogFormat =
	'[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ' +
	'"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
	'"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ' +
	"%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/** Where lines go; never blocks (see `log-file.ts`). */
export interface LineSink {
	write(line: string): void;
}

/** Writes the line of one finished stream, if its filter lets it. */
export type LogStream = (info: StreamInfo) => void;

/** `openSink` gives the sink of a path; files are shared by all logs that name them. An empty format is Envoy's default. */
export function compileAccessLog(
	log: FileAccessLog,
	environment: FormatterEnvironment,
	openSink: (path: string) => LineSink,
	inputs?: LogFilterInputs,
): { readonly value: LogStream; readonly errors: readonly string[] } {
	const errors: string[] = [];
	const render = compileLine(log.format, environment, errors);
	const filter = log.filter ? compileLogFilter(log.filter, errors, inputs) : undefined;
	const sink = openSink(log.path);
	const value: LogStream = (info) => {
		if (filter === undefined || filter(info)) sink.write(render(info));
	};
	return { value, errors };
}

/** Ends with the line's end as the format has it. */
export function compileLine(format: FileAccessLog["format"], environment: FormatterEnvironment, errors: string[]): Formatter {
	const line = format.kind === "text" ? compileText(format.text, environment, errors) : compileJson(format.fields, environment, errors);
	return (info) => readUtf8(line(info));
}

/** What came from the network has a character a byte; where bytes are UTF-8, they are written as that. */
function readUtf8(line: string): string {
	if (!/[\x80-\xff]/.test(line)) return line;
	return line.replace(/[\x80-\xff]{2,}/g, (run) => {
		const bytes = Buffer.from(run, "latin1");
		return isUtf8(bytes) ? bytes.toString("utf8") : run;
	});
}

function compileText(text: string, environment: FormatterEnvironment, errors: string[]): Formatter {
	const format = compileFormat(text === "" ? defaultAccessLogFormat : text, "-", environment);
	errors.push(...format.errors);
	return format.value ?? (() => "");
}

type JsonField = (info: StreamInfo) => unknown;

function compileJson(fields: Readonly<Record<string, unknown>>, environment: FormatterEnvironment, errors: string[]): Formatter {
	const render = compileJsonValue(fields, environment, errors);
	return (info) => `${JSON.stringify(render(info))}\n`;
}

/** Keys are sorted and values keep their types, as Envoy writes them since 1.33; a missing value is null. */
function compileJsonValue(value: unknown, environment: FormatterEnvironment, errors: string[]): JsonField {
	if (typeof value === "string") {
		const format = compileTypedFormat(value, environment);
		errors.push(...format.errors);
		const mayBeEmpty = value.startsWith("%") && tellsEmpty(value.slice(1));
		const read: (info: StreamInfo) => OperatorValue = format.value ?? (() => undefined);
		return (info) => {
			const found = read(info);
			return found === undefined || (found === "" && !mayBeEmpty) ? null : found;
		};
	}
	if (Array.isArray(value)) {
		const items = value.map((item: unknown) => compileJsonValue(item, environment, errors));
		return (info) => items.map((item) => item(info));
	}
	if (typeof value === "object" && value !== null) {
		const entries = Object.entries(value)
			.sort(([a], [b]) => (a < b ? -1 : 1))
			.map(([key, field]) => [key, compileJsonValue(field, environment, errors)] as const);
		return (info) => Object.fromEntries(entries.map(([key, field]) => [key, field(info)]));
	}
	return () => value;
}

type LogPredicate = (info: StreamInfo) => boolean;

/** What filters decide by beside the stream. */
export interface LogFilterInputs {
	readonly random: () => number;
	readonly runtime: RuntimeValues;
}

const plainInputs: LogFilterInputs = { random: Math.random, runtime: new RuntimeValues() };

export function compileLogFilter(filter: AccessLogFilter, errors: string[], inputs: LogFilterInputs = plainInputs): LogPredicate {
	switch (filter.kind) {
		case "status":
			return compareWith(filter, inputs, (info) => info.responseCode);
		case "duration":
			return compareWith(filter, inputs, (info) => Math.floor(info.endAt - info.startAt));
		case "and":
		case "or": {
			const all = filter.filters.map((inner) => compileLogFilter(inner, errors, inputs));
			return filter.kind === "and" ? (info) => all.every((test) => test(info)) : (info) => all.some((test) => test(info));
		}
		case "responseFlag":
			return compileFlagFilter(filter.flags, errors);
		case "header": {
			const context = createCompileContext();
			const test = compileHeaderMatch(filter.header, context);
			errors.push(...context.errors);
			return ({ request }) => request !== undefined && test(request);
		}
		case "random": {
			const { denominator, numerator, runtimeKey } = filter.fraction;
			const { random, runtime } = inputs;
			// The runtime says the numerator alone, as in Envoy.
			return () => random() * denominator < (runtimeKey === undefined ? numerator : runtime.integer(runtimeKey, numerator));
		}
		case "cel": {
			const context = createCompileContext();
			const test = compileCel(filter.expression, context);
			errors.push(...context.errors);
			return test;
		}
		case "grpcStatus": {
			const statuses = new Set(filter.statuses);
			return (info) => statuses.has(grpcStatusOf(info) ?? grpcStatusOfHttp(info.responseCode)) !== filter.exclude;
		}
		case "logType": {
			const types = new Set(filter.types);
			return (info) => types.has(logTypeOf(info)) !== filter.exclude;
		}
		case "metadata": {
			const { match, matchesIfAbsent } = filter;
			if (match === undefined) return () => true;
			const context = createCompileContext();
			const test = compileMetadataMatch(match, context);
			errors.push(...context.errors);
			return ({ dynamicMetadata }) => (readMetadata(dynamicMetadata, match.filter, match.path) === undefined ? matchesIfAbsent : test(dynamicMetadata));
		}
		case "notHealthCheck":
			return ({ isHealthCheck }) => !isHealthCheck;
	}
}

type Comparison = Extract<AccessLogFilter, { kind: "status" | "duration" }>;

function compareWith({ op, runtimeKey, value }: Comparison, { runtime }: LogFilterInputs, read: (info: StreamInfo) => number): LogPredicate {
	const wanted = runtimeKey === undefined ? () => value : () => runtime.integer(runtimeKey, value);
	switch (op) {
		case "eq":
			return (info) => read(info) === wanted();
		case "ge":
			return (info) => read(info) >= wanted();
		case "le":
			return (info) => read(info) <= wanted();
		case "ne":
			return (info) => read(info) !== wanted();
	}
}

/** No flags named: any flag will do. */
function compileFlagFilter(flags: readonly string[], errors: string[]): LogPredicate {
	if (flags.length === 0) return (info) => info.responseFlags !== 0;
	let wanted = 0;
	for (const flag of flags) {
		const bit = responseFlagBit(flag);
		if (bit === undefined) errors.push(`${JSON.stringify(flag)} is not a response flag`);
		else wanted |= bit;
	}
	return (info) => (info.responseFlags & wanted) !== 0;
}
