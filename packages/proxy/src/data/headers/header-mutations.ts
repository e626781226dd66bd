import type { HeaderMutation } from "../../config/header-operations.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { compileFormat, type FormatterEnvironment, literalOf } from "./formatter.ts";
import type { HeadersEdit, RequestView } from "./headers-view.ts";

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
		...add.map((mutation) => compileMutation(mutation, environment, errors)),
	]);
	const [only] = steps;
	if (steps.length <= 1) return only;
	return (head, info) => {
		for (const step of steps) step(head, info);
	};
}

function compileMutation({ name, value, action, keepEmpty }: HeaderMutation, environment: FormatterEnvironment, errors: string[]): MutateHeaders {
	const lower = name.toLowerCase();
	const apply = applyAction(lower, action);
	const literal = literalOf(value);
	if (literal !== undefined) return literal === "" && !keepEmpty ? () => undefined : (head) => apply(head, literal);
	const format = compileFormat(value, "", environment);
	errors.push(...format.errors.map((error) => `header ${JSON.stringify(name)}: ${error}`));
	return (head, info) => {
		const text = format.value?.(info) ?? "";
		// What a peer sent must not end the header line.
		if (text !== "" || keepEmpty) apply(head, /[\r\n\0]/.test(text) ? text.replace(/[\r\n\0]/g, "") : text);
	};
}

/** Of these Envoy keeps one line of each: what is appended goes behind a comma. */
const oneLineAnywhere = ["cache-control", "content-encoding", "content-type", "via", "x-request-id"];
const oneLineOfRequests: ReadonlySet<string> = new Set([
	...oneLineAnywhere,
	"accept",
	"accept-encoding",
	"access-control-request-headers",
	"access-control-request-method",
	"authorization",
	"expect",
	"grpc-accept-encoding",
	"grpc-timeout",
	"if-none-match",
	"origin",
	"pragma",
	"referer",
	"user-agent",
	"x-client-trace-id",
	"x-envoy-downstream-service-cluster",
	"x-envoy-downstream-service-node",
	"x-envoy-external-address",
	"x-envoy-original-path",
	"x-forwarded-for",
	"x-forwarded-host",
	"x-forwarded-port",
	"x-forwarded-proto",
]);
const oneLineOfResponses: ReadonlySet<string> = new Set([
	...oneLineAnywhere,
	"access-control-allow-origin",
	"age",
	"date",
	"etag",
	"expires",
	"grpc-message",
	"grpc-status",
	"last-modified",
	"location",
	"vary",
	"x-envoy-degraded",
	"x-envoy-upstream-service-time",
]);

/** `name` in lower case. */
export function appendValue(head: HeadersEdit, name: string, value: string): void {
	const isOneLine = (isRequest(head) ? oneLineOfRequests : oneLineOfResponses).has(name);
	const before = isOneLine ? head.get(name) : undefined;
	if (before === undefined) head.append(name, value);
	else head.set(name, before === "" ? value : `${before},${value}`);
}

function applyAction(name: string, action: HeaderMutation["action"]): (head: HeadersEdit, value: string) => void {
	if (name === ":authority" || name === "host") return setProperty("authority", action);
	if (name === ":path") return setProperty("path", action);
	if (name === ":method") return setProperty("method", action);
	if (name === ":scheme") return setProperty("scheme", action);
	switch (action) {
		case "append":
			return (head, value) => appendValue(head, name, value);
		case "overwrite":
			return (head, value) => head.set(name, value);
		case "addIfAbsent":
			return (head, value) => {
				if (!head.has(name)) head.append(name, value);
			};
		case "overwriteIfExists":
			return (head, value) => {
				if (head.has(name)) head.set(name, value);
			};
	}
}

/** Pseudo headers always exist, so only the overwriting actions change them. */
function setProperty(property: "authority" | "path" | "method" | "scheme", action: HeaderMutation["action"]): (head: HeadersEdit, value: string) => void {
	if (action === "addIfAbsent" || action === "append") return () => undefined;
	return (head, value) => {
		if (isRequest(head)) head[property] = value;
	};
}

function isRequest(head: HeadersEdit): head is HeadersEdit & { -readonly [K in keyof RequestView]: RequestView[K] } {
	return "authority" in head;
}
