import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeTraffic, parseClients, trafficSince } from "../authz/clients.ts";
import { renderMtlsCheck } from "./mtls-check.ts";

const line = (
	source: string,
	policy: string,
	count: number,
	{ reporter = "destination", metric = "requests_total", code = "200", principal = "unknown" } = {},
) =>
	`istio_${metric}{reporter="${reporter}",source_workload="${source}",source_workload_namespace="${source === "unknown" ? "unknown" : "web"}",source_principal="${principal}",` +
	`destination_workload="server",destination_workload_namespace="app",response_code="${code}",connection_security_policy="${policy}"} ${count}`;
const alice = { principal: "spiffe://cluster.local/ns/web/sa/alice" };

const metrics = [
	"# TYPE istio_requests_total counter",
	line("front", "mutual_tls", 5, alice),
	line("front", "mutual_tls", 2, { ...alice, code: "503" }),
	line("unknown", "none", 3),
	line("legacy", "none", 1, { metric: "tcp_connections_opened_total" }),
	line("server", "unknown", 9, { reporter: "source" }),
	'istio_build{component="proxy"} 1',
	"",
].join("\n");

test("clients are told apart by name, identity and connection, over answers and metrics", () => {
	assert.equal(
		renderMtlsCheck("app", mergeTraffic(parseClients(metrics))),
		[
			"WORKLOAD     CLIENT      PRINCIPAL                                CONNECTION   REQUESTS   UNDER STRICT",
			"server.app   legacy.web   -                                        plain text   1          REFUSED",
			"server.app   unknown      -                                        plain text   3          REFUSED",
			"server.app   front.web    spiffe://cluster.local/ns/web/sa/alice   mutual TLS   7          served",
			"",
			'STRICT would refuse legacy.web, unknown. "unknown" has no sidecar that tells its name.',
			"",
		]
			.join("\n")
			.replace("CLIENT      ", "CLIENT       "),
	);
});

test("pods of one workload are one line; where all use mutual TLS nothing would break", () => {
	const secure = parseClients(line("front", "mutual_tls", 5, alice));
	assert.match(renderMtlsCheck("app", mergeTraffic([...secure, ...secure])), /mutual TLS {3}10 {9}served\n\nAll clients use mutual TLS/);
	assert.match(renderMtlsCheck("app", []), /^nothing has called/);
});

test("watching counts what came meanwhile, also from a proxy that was started anew", () => {
	const counts = (before: number, now: number) =>
		trafficSince(parseClients(line("a", "none", before)), parseClients(line("a", "none", now))).map(({ count }) => count);
	assert.deepEqual([counts(3, 8), counts(3, 3), counts(8, 2)], [[5], [], [2]]);
	assert.equal(trafficSince([], parseClients(line("a", "none", 2))).length, 1);
});
