import { ExportTraceServiceRequest } from "@weft/xds/generated/opentelemetry/proto/collector/trace/v1/trace_service.ts";
import type { AppContext, RunningApp } from "@weft/example-apps";
import { startService } from "./http-service.ts";

interface Seen {
	readonly traceId: string;
	readonly parentId: string;
	readonly id: string;
	readonly name: string;
	readonly service: string;
	readonly tags: Readonly<Record<string, string>>;
}

const spansMax = 10_000;

/** Takes spans as Zipkin's (`/api/v2/spans`) and as OTLP over HTTP (`/v1/traces`); `GET /spans` tells what came. */
export function startCollector(context: AppContext): Promise<RunningApp> {
	const seen: Seen[] = [];
	const take = (spans: readonly Seen[]) => {
		for (const span of spans) {
			if (seen.length < spansMax) seen.push(span);
			context.log(
				`span ${span.traceId}/${span.id} ${span.service}: ${span.name}, ${span.tags["http.method"]} ${span.tags["http.url"]} → ${span.tags["http.status_code"]}`,
			);
		}
	};
	return startService(context, ({ method, url }, body, response) => {
		if (method === "POST" && url === "/api/v2/spans") take(readZipkin(body));
		else if (method === "POST" && url === "/v1/traces") take(readOtlp(body));
		else if (url === "/spans") return void response.writeHead(200, { "content-type": "application/json" }).end(`${JSON.stringify(seen)}\n`);
		else return void response.writeHead(404).end();
		response.writeHead(url === "/v1/traces" ? 200 : 202).end();
	});
}

interface ZipkinSpan {
	readonly traceId: string;
	readonly parentId?: string;
	readonly id: string;
	readonly name: string;
	readonly localEndpoint: { readonly serviceName: string };
	readonly tags: Readonly<Record<string, string>>;
}

function readZipkin(body: Buffer): readonly Seen[] {
	const spans = JSON.parse(body.toString()) as readonly ZipkinSpan[];
	return spans.map(({ id, localEndpoint, name, parentId = "", tags, traceId }) => ({ traceId, parentId, id, name, service: localEndpoint.serviceName, tags }));
}

function readOtlp(body: Buffer): readonly Seen[] {
	const hex = (id: Uint8Array) => Buffer.from(id).toString("hex");
	return ExportTraceServiceRequest.decode(body).resourceSpans.flatMap(({ resource, scopeSpans }) => {
		const service = resource?.attributes.find(({ key }) => key === "service.name")?.value?.stringValue ?? "";
		return scopeSpans.flatMap(({ spans }) =>
			spans.map(({ attributes, name, parentSpanId, spanId, traceId }) => ({
				traceId: hex(traceId),
				parentId: hex(parentSpanId),
				id: hex(spanId),
				name,
				service,
				tags: Object.fromEntries(attributes.map(({ key, value }) => [key, value?.stringValue ?? ""])),
			})),
		);
	});
}
