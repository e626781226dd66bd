import type { HeaderToMetadata, HeaderToMetadataRule, MetadataWrite } from "../../config/stream-data.ts";
import { cookieOf } from "../headers/cookies.ts";
import { headerReader, type HeadersEdit, type RequestView } from "../headers/headers-view.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { HttpStream } from "../http/stream.ts";
import { mergeMetadata, type StreamInfo } from "../log/stream-info.ts";
import { type CompileContext, createCompileContext } from "../match/compile-context.ts";
import type { Counter, FilterInputs } from "./filter-inputs.ts";
import { loadValueDecoder, metadataValue, type ValueDecoder } from "./metadata-value.ts";

type Head = HeadersEdit & Partial<RequestView>;
/** By namespace. */
type Found = Map<string, Record<string, unknown>>;
type Apply = (head: Head, found: Found) => void;
type ApplyRules = (head: Head, info: StreamInfo) => void;

/** As in Envoy: what is longer is not taken. */
const valueBytesMax = 8 * 1024;

interface Counters {
	readonly processed: Counter;
	readonly added: Counter;
	readonly notFound: Counter;
	readonly base64DecodeFailed: Counter;
	readonly tooLong: Counter;
	readonly substitutionFailed: Counter;
}

const countsNothing = () => undefined;

/** Copies headers and cookies of requests, and headers of responses, into dynamic metadata. */
export function compileHeaderToMetadata(rules: HeaderToMetadata, inputs: FilterInputs): StreamFilter | undefined {
	const compile = createCompileContext();
	const decoder = [...rules.request, ...rules.response].some(writesValues) ? loadValueDecoder() : undefined;
	const request = compileRules(rules.request, openCounters(rules.statPrefix, "request", inputs), decoder, compile);
	const response = compileRules(rules.response, openCounters(rules.statPrefix, "response", inputs), decoder, compile);
	inputs.errors.push(...compile.errors);
	if (request === undefined && response === undefined) return undefined;
	return {
		...((request ?? decoder) && {
			onRequestHead(stream) {
				if (decoder !== undefined && decoder.decode === undefined) return waitFor(stream, decoder, request);
				request?.(stream.request, stream.info);
				return "continue";
			},
		}),
		...(response && { onResponseHead: ({ response: head, info }) => response(head, info) }),
	};
}

const writesValues = ({ onPresent, onMissing }: HeaderToMetadataRule): boolean => onPresent?.type === "value" || onMissing?.type === "value";

/** The first requests may come before the decoder has. */
function waitFor(stream: HttpStream, { loaded }: ValueDecoder, apply: ApplyRules | undefined): "stop" {
	const resume = stream.filters.suspend();
	const go = stream.filters.guard(() => {
		apply?.(stream.request, stream.info);
		resume();
	});
	void loaded.then(() => {
		go(undefined);
		stream.context.afterEvent();
	});
	return "stop";
}

function openCounters(statPrefix: string, side: "request" | "response", { rootCounter }: FilterInputs): Counters {
	const prefix = `http_filter_name.${statPrefix}${statPrefix.endsWith(".") ? "" : "."}`;
	const counter = (name: string): Counter => (statPrefix === "" ? countsNothing : rootCounter(prefix, name));
	return {
		processed: counter(`${side}_rules_processed`),
		added: counter(`${side}_metadata_added`),
		notFound: counter(`${side}_header_not_found`),
		base64DecodeFailed: counter("base64_decode_failed"),
		tooLong: counter("header_value_too_long"),
		substitutionFailed: counter("regex_substitution_failed"),
	};
}

function compileRules(
	rules: readonly HeaderToMetadataRule[],
	counters: Counters,
	decoder: ValueDecoder | undefined,
	context: CompileContext,
): ApplyRules | undefined {
	if (rules.length === 0) return undefined;
	const compiled = rules.map((rule) => compileRule(rule, counters, decoder, context));
	return (head, info) => {
		const found: Found = new Map();
		for (const apply of compiled) apply(head, found);
		for (const [namespace, values] of found) mergeMetadata(info, namespace, values);
	};
}

function compileRule(
	{ source, onPresent, onMissing }: HeaderToMetadataRule,
	counters: Counters,
	decoder: ValueDecoder | undefined,
	context: CompileContext,
): Apply {
	const read = compileSource(source);
	const writePresent = onPresent && compileWrite(onPresent, counters, decoder, context);
	const writeMissing = onMissing && compileWrite(onMissing, counters, decoder, context);
	return (head, found) => {
		const value = read(head);
		counters.processed();
		if (value !== undefined) return writePresent?.(value, found);
		if (writeMissing === undefined) return;
		counters.notFound();
		writeMissing("", found);
	};
}

function compileSource(source: HeaderToMetadataRule["source"]): (head: Head) => string | undefined {
	// Responses have none.
	if (source.kind === "cookie") return (head) => (isRequest(head) ? cookieOf(head, source.name) || undefined : undefined);
	const { name, isRemoved } = source;
	const readRequest = headerReader(name);
	return (head) => {
		const value = isRequest(head) ? readRequest(head) : head.get(name);
		if (isRemoved && value !== undefined) head.remove(name);
		return value;
	};
}

const isRequest = (head: Head): head is HeadersEdit & RequestView => head.authority !== undefined;

function compileWrite(
	{ namespace, key, value: fixed, rewrite, type, isBase64 }: MetadataWrite,
	counters: Counters,
	decoder: ValueDecoder | undefined,
	context: CompileContext,
): (value: string, found: Found) => void {
	const substitute = rewrite && context.regex(rewrite.pattern).substitution(rewrite.substitution);
	const textOf = (value: string): string => {
		if (fixed !== "") return fixed;
		if (substitute === undefined || value === "") return value;
		const text = substitute(value);
		if (text === "") counters.substitutionFailed();
		return text;
	};
	return (value, found) => {
		const text = textOf(value);
		if (text === "") return;
		if (text.length >= valueBytesMax) return counters.tooLong();
		const result = metadataValue(text, type, isBase64, decoder);
		if (result.kind !== "value") return result.kind === "badBase64" ? counters.base64DecodeFailed() : undefined;
		found.set(namespace, { ...found.get(namespace), [key]: result.value });
		counters.added();
	};
}
