import { createHeaders } from "../../../packages/proxy/src/data/headers/headers-view.ts";
import { parseXfcc } from "../../../packages/proxy/src/data/headers/xfcc.ts";
import { parseGrpcTimeout } from "../../../packages/proxy/src/data/http/grpc-timeout.ts";
import { readB3, readW3c, type TraceContext } from "../../../packages/proxy/src/data/tracing/trace-context.ts";
import { check } from "../invariants.ts";

const b3Names = ["x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-parentspanid", "x-b3-flags"];

/** Headers that callers write and the proxy reads: ids go on as hex or not at all, times are numbers, parts are strings. */
export function fuzz(data: Buffer): void {
	const text = data.latin1Slice();
	const lines = text.split("\n");
	checkTrace(readB3(createHeaders({ b3: text })));
	checkTrace(readB3(createHeaders(Object.fromEntries(b3Names.map((name, i) => [name, lines[i] ?? ""])))));
	checkTrace(readW3c(createHeaders({ traceparent: lines[0] ?? "", tracestate: lines[1] ?? "" })));
	const timeoutMs = parseGrpcTimeout(text);
	check(timeoutMs === undefined || (Number.isSafeInteger(timeoutMs) && timeoutMs >= 0), `a timeout of ${timeoutMs} ms`);
	for (const { by, hash, subject, uri, dns, cert, chain } of parseXfcc(text))
		for (const part of [...by, hash, subject, ...uri, ...dns, cert, chain]) check(typeof part === "string", "a part that is no text");
}

function checkTrace(context: TraceContext | undefined): void {
	if (context === undefined) return;
	const { traceId, spanId, parentId, isSampled } = context;
	check(/^(?:[0-9a-f]{16}|[0-9a-f]{32})?$/.test(traceId), `trace ${JSON.stringify(traceId)}`);
	check(/^(?:[0-9a-f]{16})?$/.test(spanId) && /^(?:[0-9a-f]{16})?$/.test(parentId), `span ${JSON.stringify(spanId)} of ${JSON.stringify(parentId)}`);
	check(traceId !== "" || isSampled !== undefined, "nothing was said");
}
