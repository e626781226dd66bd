import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOutlierFailurePercentage, parseOwnLoadBalancer } from "../destination-rule-annotations.ts";
import { say, testRules } from "./testing.ts";
import { validateObject } from "./validate.ts";

test("DestinationRule: Weft's own annotations", () => {
	const rule = (annotations: Readonly<Record<string, string>>) =>
		validateObject({
			apiVersion: "networking.istio.io/v1",
			kind: "DestinationRule",
			metadata: { name: "x", namespace: "a", annotations },
			spec: { host: "a" },
		}).map(say);
	assert.deepEqual(rule({ "weft.dev/outlier-failure-percentage": "percent=50", "weft.dev/load-balancer": "peak-ewma" }), []);
	assert.match(
		rule({ "weft.dev/outlier-failure-percentage": "percent=500" })[0] ?? "",
		/^error metadata\.annotations.*outlier-failure-percentage.*: percent must be/,
	);
	assert.match(rule({ "weft.dev/load-balancer": "fastest" })[0] ?? "", /"fastest" is no load balancer of Weft's/);
	assert.deepEqual(parseOutlierFailurePercentage("percent=50, requests=20, window=1.5s").value, { percent: 50, requests: 20, windowMs: 1500 });
	assert.deepEqual(parseOutlierFailurePercentage("percent=5").value, { percent: 5, requests: 50, windowMs: undefined });
	for (const bad of ["", "50", "percent=", "percent=0", "percent=50, requests=0", "percent=50, window=x", "percent=50, other=1"])
		assert.ok(parseOutlierFailurePercentage(bad).problem, bad);
	assert.deepEqual(parseOwnLoadBalancer("peak-ewma:19").value, { name: "peak-ewma", requests: 19 });
	assert.ok(parseOwnLoadBalancer("peak-ewma:0").problem);
});

const policy = (fields: string) => `{host: a, trafficPolicy: {${fields}}}`;
const ca = "caCertificates: /ca.pem";

testRules("DestinationRule", [
	[
		"subsets are valid",
		"{host: a, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}]}",
	],
	["the host is required", "{subsets: []}", /spec\.host: the field "host" is required/],
	["subset names are unique", "{host: a, subsets: [{name: v1}, {name: v1}]}", /subsets\[1\]\.name: .*twice/],
	["subset names are labels", '{host: a, subsets: [{name: "v.1"}, {name: ""}]}', /subsets\[0\]\.name/, /subsets\[1\]\.name/],
	["subset labels are labels", '{host: a, subsets: [{name: v1, labels: {version: "1 0"}}]}', /subsets\[0\]\.labels\.version/],
	["a label that is a number needs quotes", "{host: a, subsets: [{name: v1, labels: {version: 1}}]}", /labels\.version: .*put it in quotes: "1"/],
	["an empty policy is refused", policy(""), /trafficPolicy: .*at least one field/],
	["all load balancers are known", policy("loadBalancer: {simple: ROUND_ROBIN}")],
	["other load balancers are not", policy("loadBalancer: {simple: ROUND_ROBBIN}"), /simple: .*did you mean "ROUND_ROBIN"/],
	["simple and consistentHash exclude each other", policy("loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}"), /loadBalancer: only one of/],
	["hashing by a cookie is valid", policy("loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s}, ringHash: {minimumRingSize: 2048}}}")],
	["a cookie has a name", policy('loadBalancer: {consistentHash: {httpCookie: {name: ""}}}'), /httpCookie\.name/],
	["hashing by two things is refused", policy("loadBalancer: {consistentHash: {httpHeaderName: x, useSourceIp: true}}"), /consistentHash: only one of/],
	["a maglev table is prime", policy("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65536}}}"), /tableSize: .*prime/],
	["a maglev table has a size", policy("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}"), /tableSize must be set/],
	[
		"locality weights sum to 100",
		policy("loadBalancer: {localityLbSetting: {distribute: [{from: r1, to: {r1: 70, r2: 20}}]}}"),
		/distribute\[0\]\.to: .*sum to 90/,
	],
	[
		"a locality is distributed once",
		policy(
			"loadBalancer: {localityLbSetting: {distribute: [{from: r1, to: {r1/z1: 50, r1/*: 50}}, {from: r1/z1, to: {r1: 100}}, {from: r2/z1, to: {r1: 100}}, {from: '*', to: {r1: 100}}]}}",
		),
		/distribute\[0\]\.to\["r1\/z1"\]: .*overlaps/,
		/distribute\[0\]\.to\["r1\/\*"\]: .*overlaps/,
		/distribute\[1\]\.from: .*overlaps with "r1"/,
	],
	[
		"times may be finer than a millisecond where Envoy's are",
		policy("connectionPool: {tcp: {idleTimeout: 0.5ms}}, loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: 1.5ms}}}"),
	],
	["connections may never be idle too long", policy("connectionPool: {tcp: {idleTimeout: 0s}}")],
	[
		"distribute and failover exclude each other",
		policy("outlierDetection: {}, loadBalancer: {localityLbSetting: {distribute: [{from: r1, to: {r1: 100}}], failover: [{from: r1, to: r2}]}}"),
		/localityLbSetting: distribute cannot/,
	],
	[
		"distribute comes before failoverPriority",
		policy("outlierDetection: {}, loadBalancer: {localityLbSetting: {distribute: [{from: r1, to: {r1: 100}}], failoverPriority: [app]}}"),
		/warning .*failoverPriority: has no effect beside distribute/,
	],
	[
		"failover orders places by itself",
		policy("outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r2}], failoverPriority: [topology.kubernetes.io/zone]}}"),
		/failoverPriority: failover decides .*zone/,
	],
	["failover regions differ", policy("outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r1}]}}"), /failover\[0\]: .*differ/],
	[
		"failover without outlier detection is a warning",
		policy("loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r2}]}}"),
		/warning .*outlierDetection/,
	],
	["warmup goes with two balancers", policy("loadBalancer: {simple: RANDOM, warmup: {duration: 10s}}"), /warning .*warmup: .*ROUND_ROBIN/],
	[
		"outlier detection is valid",
		policy("outlierDetection: {consecutive5xxErrors: 0, interval: 10s, baseEjectionTime: 30s, maxEjectionPercent: 100, minHealthPercent: 0}"),
	],
	["the interval is above 0", policy("outlierDetection: {interval: 0s}"), /interval/],
	["ejection ends at 100 percent", policy("outlierDetection: {maxEjectionPercent: 101}"), /maxEjectionPercent/],
	["local failures need the split", policy("outlierDetection: {consecutiveLocalOriginFailures: 3}"), /splitExternalLocalOriginErrors/],
	["error counts are not negative", policy("outlierDetection: {consecutive5xxErrors: -1}"), /consecutive5xxErrors: -1 is out of range/],
	[
		"connection pools are valid",
		policy(
			"connectionPool: {tcp: {maxConnections: 10, connectTimeout: 1s, tcpKeepalive: {time: 7200s, probes: 3}}, http: {http1MaxPendingRequests: 1, maxRetries: 0, idleTimeout: 1h, h2UpgradePolicy: UPGRADE}}",
		),
	],
	["HTTP/2 connections are kept alive", policy("connectionPool: {http: {http2KeepAlive: {interval: 30s, timeout: 5s}}}")],
	["keepalive durations are above 0", policy("connectionPool: {http: {http2KeepAlive: {interval: 0s}}}"), /http2KeepAlive\.interval/],
	["an empty pool is refused", policy("connectionPool: {}"), /connectionPool: .*tcp or http/],
	["pool values are not negative", policy("connectionPool: {tcp: {maxConnections: -1}, http: {http2MaxRequests: -2}}"), /maxConnections/, /http2MaxRequests/],
	["connectTimeout 0s is refused", policy("connectionPool: {tcp: {connectTimeout: 0s}}"), /connectTimeout/],
	[
		"useClientProtocol and UPGRADE exclude each other",
		policy("connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}"),
		/useClientProtocol/,
	],
	["SIMPLE with a CA is valid", policy(`tls: {mode: SIMPLE, ${ca}, sni: a, subjectAltNames: [a]}`)],
	["SIMPLE without a CA is a warning", policy("tls: {mode: SIMPLE}"), /warning spec\.trafficPolicy\.tls/],
	["MUTUAL needs certificate and key", policy(`tls: {mode: MUTUAL, ${ca}}`), /tls\.clientCertificate/, /tls\.privateKey/],
	[
		"only a rule that selects workloads has its sidecars read a credential",
		policy("tls: {mode: MUTUAL, credentialName: c}"),
		/warning .*tls: TLS mode is MUTUAL but no caCertificates/,
	],
	["MUTUAL by credential is valid", "{host: a, workloadSelector: {matchLabels: {app: a}}, trafficPolicy: {tls: {mode: MUTUAL, credentialName: c}}}"],
	[
		"a port that verifies nobody",
		policy("portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]"),
		/warning .*portLevelSettings\[0\]\.tls: .* at port 443/,
	],
	["credential and files exclude each other", policy(`tls: {mode: MUTUAL, credentialName: c, ${ca}}`), /credentialName/],
	["insecureSkipVerify and a CA exclude each other", policy(`tls: {mode: SIMPLE, insecureSkipVerify: true, ${ca}}`), /insecureSkipVerify/],
	["port settings name their port", policy("portLevelSettings: [{loadBalancer: {simple: RANDOM}}]"), /portLevelSettings\[0\]\.port/],
	["port settings say something", policy("portLevelSettings: [{port: {number: 80}}]"), /portLevelSettings\[0\]: .*at least one/],
	[
		"two sizes of a ring exclude each other",
		policy("loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 3, ringHash: {minimumRingSize: 4}}}"),
		/error .*minimumRingSize: only one/,
		/warning .*deprecated/,
	],
	[
		"port settings are checked, too",
		policy("portLevelSettings: [{port: {number: 80}, outlierDetection: {interval: 0s}}]"),
		/portLevelSettings\[0\]\.outlierDetection\.interval/,
	],
	[
		"tunnel and proxyProtocol exclude each other",
		policy("tunnel: {targetHost: a.com, targetPort: 443}, proxyProtocol: {version: V2}"),
		/tunnel and proxyProtocol/,
	],
	["a rule with a selector stays in its namespace", "{host: a, workloadSelector: {matchLabels: {app: b}}, exportTo: ['*']}", /exportTo: .*own namespace/],
	["exporting to the own namespace is valid", "{host: a, workloadSelector: {matchLabels: {app: b}}, exportTo: ['.']}"],
	["wildcards do not select", "{host: a, workloadSelector: {matchLabels: {app: '*'}}}", /matchLabels\.app: wildcards/],
]);
