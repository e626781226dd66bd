import type { Any } from "@weft/xds";
import { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import type { MetricsPlan } from "../policy/telemetry.ts";
import { durationOf, packed } from "../routes/values.ts";
import type { Direction } from "./http-filters/filter.ts";

/** The names that Prometheus knows Istio's metrics by. https://istio.io/latest/docs/reference/config/metrics/ */
const prometheusNames: Readonly<Record<string, string>> = {
	REQUEST_COUNT: "requests_total",
	REQUEST_DURATION: "request_duration_milliseconds",
	REQUEST_SIZE: "request_bytes",
	RESPONSE_SIZE: "response_bytes",
	TCP_OPENED_CONNECTIONS: "tcp_connections_opened_total",
	TCP_CLOSED_CONNECTIONS: "tcp_connections_closed_total",
	TCP_SENT_BYTES: "tcp_sent_bytes_total",
	TCP_RECEIVED_BYTES: "tcp_received_bytes_total",
	GRPC_REQUEST_MESSAGES: "request_messages_total",
	GRPC_RESPONSE_MESSAGES: "response_messages_total",
};

/** Configuration of istio.stats, for HTTP and TCP alike. */
export function statsConfig(direction: Direction, { overrides, reportingInterval }: MetricsPlan): Any {
	return packed("stats.PluginConfig", PluginConfig, {
		// The destination's name must not come from a header that any client can write.
		disableHostHeaderFallback: direction !== "outbound",
		tcpReportingDuration: durationOf(reportingInterval),
		metrics: overrides.map(({ metric, disabled, tags }) => {
			const sorted = Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1));
			return {
				name: Object.hasOwn(prometheusNames, metric) ? prometheusNames[metric] : metric,
				drop: disabled,
				dimensions: Object.fromEntries(sorted.filter(([, tag]) => tag.operation !== "REMOVE").map(([name, { value = "" }]) => [name, value])),
				tagsToRemove: sorted.filter(([, tag]) => tag.operation === "REMOVE").map(([name]) => name),
			};
		}),
	});
}
