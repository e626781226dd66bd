import type { HeadersEdit, HeadersView } from "../headers/headers-view.ts";

/** What a caller says of the trace that its request belongs to. Ids are lower-case hex. */
export interface TraceContext {
	/** "": the caller decided only whether to sample. */
	readonly traceId: string;
	readonly spanId: string;
	/** "": it is the trace's first span, or nothing was said. */
	readonly parentId: string;
	/** undefined: the decision is ours. */
	readonly isSampled: boolean | undefined;
	readonly format: "b3" | "b3single" | "w3c";
	/** W3C's `tracestate`, as it came. */
	readonly state: string;
}

/** What we say to the next one. */
export interface OutgoingContext {
	readonly traceId: string;
	readonly spanId: string;
	readonly parentId: string;
	readonly isSampled: boolean;
	readonly state: string;
}

const ids = /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/;
const spanIds = /^[0-9a-f]{16}$/;
const zeros = /^0+$/;

/** B3 in one header or in several (https://github.com/openzipkin/b3-propagation). What is malformed counts as not said. */
export function readB3(head: HeadersView): TraceContext | undefined {
	const single = head.get("b3");
	if (single !== undefined) return readB3Single(single);
	const traceId = head.get("x-b3-traceid")?.toLowerCase() ?? "";
	const spanId = padded(head.get("x-b3-spanid") ?? "");
	const isSampled = head.get("x-b3-flags") === "1" ? true : sampledOf(head.get("x-b3-sampled"));
	if (!ids.test(traceId) || !spanIds.test(spanId) || zeros.test(traceId)) {
		return isSampled === undefined ? undefined : { traceId: "", spanId: "", parentId: "", isSampled, format: "b3", state: "" };
	}
	const parentId = padded(head.get("x-b3-parentspanid") ?? "");
	return { traceId, spanId, parentId: spanIds.test(parentId) ? parentId : "", isSampled, format: "b3", state: "" };
}

function readB3Single(value: string): TraceContext | undefined {
	const [first = "", spanId = "", sampled, parentId = ""] = value.toLowerCase().split("-");
	if (spanId === "") {
		const isSampled = sampledOf(first);
		return isSampled === undefined ? undefined : { traceId: "", spanId: "", parentId: "", isSampled, format: "b3single", state: "" };
	}
	if (!ids.test(first) || !spanIds.test(spanId) || zeros.test(first)) return undefined;
	return { traceId: first, spanId, parentId: spanIds.test(parentId) ? parentId : "", isSampled: sampledOf(sampled), format: "b3single", state: "" };
}

const padded = (id: string): string => (id === "" ? "" : id.toLowerCase().padStart(16, "0"));

function sampledOf(value: string | undefined): boolean | undefined {
	switch (value) {
		case "1":
		case "d":
		case "true":
			return true;
		case "0":
		case "false":
			return false;
		default:
			return undefined;
	}
}

/** https://www.w3.org/TR/trace-context/ */
export function readW3c(head: HeadersView): TraceContext | undefined {
	const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(head.get("traceparent") ?? "");
	const [, version, traceId = "", spanId = "", flags = "00", rest] = match ?? [];
	if (version === undefined || version === "ff" || zeros.test(traceId) || zeros.test(spanId) || (version === "00" && rest !== undefined)) return undefined;
	const isSampled = (Number.parseInt(flags, 16) & 1) === 1;
	return { traceId, spanId, parentId: "", isSampled, format: "w3c", state: head.get("tracestate") ?? "" };
}

/** In the form in which the caller spoke. */
export function writeB3(head: HeadersEdit, context: OutgoingContext, isSingle: boolean): void {
	const { traceId, spanId, parentId, isSampled } = context;
	const sampled = isSampled ? "1" : "0";
	if (isSingle) return head.set("b3", parentId === "" ? `${traceId}-${spanId}-${sampled}` : `${traceId}-${spanId}-${sampled}-${parentId}`);
	head.set("x-b3-traceid", traceId);
	head.set("x-b3-spanid", spanId);
	if (parentId !== "") head.set("x-b3-parentspanid", parentId);
	else head.remove("x-b3-parentspanid");
	head.set("x-b3-sampled", sampled);
}

export function writeW3c(head: HeadersEdit, { traceId, spanId, isSampled, state }: OutgoingContext): void {
	head.set("traceparent", `00-${traceId.padStart(32, "0")}-${spanId}-${isSampled ? "01" : "00"}`);
	if (state !== "") head.set("tracestate", state);
}
