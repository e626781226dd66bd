import type { IncomingHttpHeaders } from "node:http";

// What a service must copy from the request it serves to the requests it makes, so that traces and header routing hold together.
const forwardedNames = [
	"x-request-id",
	"traceparent",
	"tracestate",
	"b3",
	"x-b3-traceid",
	"x-b3-spanid",
	"x-b3-parentspanid",
	"x-b3-sampled",
	"x-b3-flags",
	"x-ot-span-context",
	"x-cloud-trace-context",
	"grpc-trace-bin",
	"end-user",
	"user-agent",
	"authorization",
	"jwt",
	"cookie",
] as const;

/** The headers of an incoming request that outgoing requests made for it carry on. */
export function forwardedHeaders(headers: IncomingHttpHeaders): Record<string, string> {
	const forwarded: Record<string, string> = {};
	for (const name of forwardedNames) {
		const value = headers[name];
		if (value !== undefined) forwarded[name] = Array.isArray(value) ? value.join(", ") : value;
	}
	return forwarded;
}
