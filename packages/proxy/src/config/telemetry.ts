/** Tracing and the services that telemetry is sent to, as the workers get them; a part of what `runtime-config.ts` sends. */

/** A share of requests in ten thousandths: Envoy's percentages have two decimals. */
export type TenThousandths = number;

/** Of the connection manager's `tracing`. */
export interface Tracing {
	readonly clientSampling: TenThousandths;
	readonly randomSampling: TenThousandths;
	readonly overallSampling: TenThousandths;
	/** Spans note when each part of a message passed. */
	readonly verbose: boolean;
	/** Characters of the path in `http.url`. */
	readonly pathTagLengthMax: number;
	readonly customTags: readonly CustomTag[];
	/** A span of its own for each attempt. */
	readonly spawnUpstreamSpan: boolean;
	/** undefined: requests are marked as sampled or not, and no spans are made. */
	readonly provider: TracingProvider | undefined;
	/** The decision is written into `x-request-id`, where the next proxy finds it. */
	readonly packTraceReason: boolean;
	/** The same request id is sampled, or not, by every proxy of the same share; otherwise each throws its own dice. */
	readonly samplesByRequestId: boolean;
}

/** What a route says otherwise. */
export interface RouteTracing {
	readonly clientSampling: TenThousandths;
	readonly randomSampling: TenThousandths;
	readonly overallSampling: TenThousandths;
	readonly customTags: readonly CustomTag[];
}

/** Names a route's spans; `propagate`: the next proxy's, too. */
export interface Decorator {
	readonly operation: string;
	readonly propagate: boolean;
}

export type CustomTag =
	| { readonly kind: "literal"; readonly tag: string; readonly value: string }
	| { readonly kind: "environment" | "header"; readonly tag: string; readonly name: string; readonly defaultValue: string }
	| { readonly kind: "metadata"; readonly tag: string; readonly of: "request" | "route"; readonly path: readonly string[]; readonly defaultValue: string };

export type TracingProvider =
	| {
			readonly kind: "zipkin";
			readonly service: TelemetryService;
			readonly has128BitTraceIds: boolean;
			/** A server's span is the one that its client began. */
			readonly sharesSpans: boolean;
			/** W3C's headers are read where B3's lack, and sent beside them. */
			readonly withW3c: boolean;
	  }
	| {
			readonly kind: "openTelemetry";
			readonly service: TelemetryService;
			readonly serviceName: string;
			readonly resource: Readonly<Record<string, string>>;
			/** Every trace, whoever decided what before (`always_on`). */
			readonly samplesAll: boolean;
	  };

/** Where telemetry goes: a path of a service in a cluster. */
export interface TelemetryService {
	readonly kind: "http" | "grpc";
	readonly cluster: string;
	readonly authority: string;
	/** HTTP only; a gRPC service's is that of its method. */
	readonly path: string;
	readonly timeoutMs: number;
	/** Lower-case name, value, name, value … */
	readonly headers: readonly string[];
}

/** istio.stats: which standard metrics to keep, and for which side. */
export interface IstioStats {
	readonly disableHostHeaderFallback: boolean;
	readonly reporter: "default" | "gateway";
	/** By metric name without the `istio_` prefix ("" : all): tags dropped, tags replaced (constant or simple expression), metric dropped. */
	readonly overrides: readonly {
		readonly metric: string;
		readonly drop: boolean;
		readonly removeTags: readonly string[];
		readonly dimensions: Readonly<Record<string, string>>;
	}[];
}
