import type { HeaderMutation } from "../../config/header-operations.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { compileFormat, type FormatterEnvironment, literalOf } from "./formatter.ts";
import type { HeadersEdit, RequestView } from "./headers-view.ts";
import { inlineRequestHeaders, inlineResponseHeaders } from "./inline-headers.ts";

/** Changes a head in place. The head of a request has `authority` and `path`, which these must not lose sight of. */
export type MutateHeaders = (head: HeadersEdit, info: StreamInfo) => void;

/** One level's removals and additions (route, virtual host, …), removals first, as Envoy applies them. */
export interface MutationLevel {
	readonly add: readonly HeaderMutation[];
	readonly remove: readonly string[];
}

/** undefined when there is nothing to do. Levels are applied in the order given. */
export function compileHeaderMutations(levels: readonly MutationLevel[], environment: FormatterEnvironment, errors: string[]): MutateHeaders | undefined {
	const steps = levels.flatMap(({ add, remove }) => [
		...remove.map((name): MutateHeaders => {
			const lower = name.toLowerCase();
			return (head) => head.remove(lower);
		}),
		...compileAdditions(add, environment, errors),
	]);
	const [only] = steps;
	if (steps.length <= 1) return only;
	return (head, info) => {
		for (const step of steps) step(head, info);
	};
}

/** As in Envoy: all of a level is said of the head as it came to it, and what overwrites is done before what adds. */
function compileAdditions(add: readonly HeaderMutation[], environment: FormatterEnvironment, errors: string[]): readonly MutateHeaders[] {
	const overwrites = ({ action }: HeaderMutation) => action === "overwrite" || action === "overwriteIfExists";
	const ordered = [...add.filter(overwrites), ...add.filter((one) => !overwrites(one))].map((one) => compileMutation(one, environment, errors));
	const [only] = ordered;
	if (only === undefined) return [];
	if (ordered.length === 1) return [(head, info) => apply(only, head, only.valueFor(head, info))];
	return [
		(head, info) => {
			const values = ordered.map((one) => one.valueFor(head, info));
			for (let i = 0; i < ordered.length; i++) apply(ordered[i] as Mutation, head, values[i]);
		},
	];
}

interface Mutation {
	/** undefined: nothing is to be done. */
	readonly valueFor: (head: HeadersEdit, info: StreamInfo) => string | undefined;
	readonly put: (head: HeadersEdit, value: string) => void;
}

function apply({ put }: Mutation, head: HeadersEdit, value: string | undefined): void {
	if (value !== undefined) put(head, value);
}

function compileMutation(mutation: HeaderMutation, environment: FormatterEnvironment, errors: string[]): Mutation {
	const { value, action, keepEmpty } = mutation;
	const name = mutation.name.toLowerCase();
	const isWanted = compileCondition(name, action);
	const literal = literalOf(value);
	const format = literal === undefined ? compileFormat(value, "", environment) : { value: () => literal, errors: [] };
	errors.push(...format.errors.map((error) => `header ${JSON.stringify(mutation.name)}: ${error}`));
	const valueFor = (head: HeadersEdit, info: StreamInfo) => {
		if (!isWanted(head)) return undefined;
		const text = format.value?.(info) ?? "";
		if (text === "" && !keepEmpty) return undefined;
		// What a peer sent must not end the header line.
		return /[\r\n\0]/.test(text) ? text.replace(/[\r\n\0]/g, "") : text;
	};
	return { valueFor, put: compilePut(name, action) };
}

function compileCondition(name: string, action: HeaderMutation["action"]): (head: HeadersEdit) => boolean {
	// Pseudo headers always exist, so only the overwriting actions change them.
	if (properties.has(name)) return () => action === "overwrite" || action === "overwriteIfExists";
	if (action === "addIfAbsent") return (head) => !head.has(name);
	return action === "overwriteIfExists" ? (head) => head.has(name) : () => true;
}

const properties: ReadonlyMap<string, "authority" | "path" | "method" | "scheme"> = new Map([
	[":authority", "authority"],
	["host", "authority"],
	[":path", "path"],
	[":method", "method"],
	[":scheme", "scheme"],
]);

function compilePut(name: string, action: HeaderMutation["action"]): (head: HeadersEdit, value: string) => void {
	const property = properties.get(name);
	if (property !== undefined)
		return (head, value) => {
			if (isRequest(head)) head[property] = value;
		};
	return action === "append" || action === "addIfAbsent" ? compileAppend(name) : (head, value) => head.set(name, value);
}

function compileAppend(name: string): (head: HeadersEdit, value: string) => void {
	const [isInRequests, isInResponses] = [inlineRequestHeaders.has(name), inlineResponseHeaders.has(name)];
	if (!isInRequests && !isInResponses) return (head, value) => head.append(name, value);
	return (head, value) => {
		const own = (isRequest(head) ? isInRequests : isInResponses) ? head.get(name) : undefined;
		if (own === undefined) head.append(name, value);
		else if (value !== "") head.set(name, own === "" ? value : `${own},${value}`);
	};
}

function isRequest(head: HeadersEdit): head is HeadersEdit & { -readonly [K in keyof RequestView]: RequestView[K] } {
	return "authority" in head;
}
