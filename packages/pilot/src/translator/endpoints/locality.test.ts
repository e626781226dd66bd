import assert from "node:assert/strict";
import { test } from "node:test";
import type { LocalityLoadBalancerSetting } from "@weft/api";
import type { Endpoint } from "../../model/service.ts";
import { parseLocality } from "../../model/workloads.ts";
import { arrangeByLocality, type ClientPlace, groupByLocality, placeLabels } from "./locality.ts";

function endpoint(place: string, extra: Partial<Endpoint> = {}): Endpoint {
	return {
		address: "10.0.0.1",
		port: 80,
		portName: "http",
		labels: {},
		namespace: "default",
		workloadName: "",
		podName: "",
		nodeName: "",
		serviceAccount: "",
		locality: parseLocality(place),
		network: "",
		weight: 0,
		health: "HEALTHY",
		tlsMode: "disabled",
		registry: "Kubernetes",
		...extra,
	};
}

function placeAt(place: string, labels: Readonly<Record<string, string>> = {}): ClientPlace {
	const locality = parseLocality(place);
	return { locality, nodeName: "n1", labels: placeLabels(labels, locality, "", "n1") };
}

/** `locality priority weight`, sorted by priority; `empty` where no endpoints are left. */
function arranged(endpoints: readonly Endpoint[], setting: LocalityLoadBalancerSetting, place: ClientPlace, failover = true): readonly string[] {
	return arrangeByLocality(groupByLocality(endpoints), setting, place, failover)
		.toSorted((a, b) => a.priority - b.priority)
		.map(({ locality: { region, zone, subZone }, priority, weight, endpoints: left }) =>
			[[region, zone, subZone].filter(Boolean).join("/"), priority, weight, ...(left.length === 0 ? ["empty"] : [])].join(" "),
		);
}

const everywhere = ["r1/z1/s1", "r1/z1/s2", "r1/z2", "r2/z1", "r3/z1"].map((place) => endpoint(place));

interface Case {
	readonly title: string;
	readonly endpoints?: readonly Endpoint[];
	readonly setting: LocalityLoadBalancerSetting;
	readonly place?: ClientPlace;
	readonly failover?: boolean;
	readonly expected: readonly string[];
}

const cases: readonly Case[] = [
	{ title: "closer places come first", setting: {}, expected: ["r1/z1/s1 0 1", "r1/z1/s2 1 1", "r1/z2 2 1", "r2/z1 3 1", "r3/z1 3 1"] },
	{
		title: "a failover region comes before others",
		setting: { failover: [{ from: "r1", to: "r3" }] },
		expected: ["r1/z1/s1 0 1", "r1/z1/s2 1 1", "r1/z2 2 1", "r3/z1 3 1", "r2/z1 4 1"],
	},
	{ title: "priorities have no gaps", setting: {}, endpoints: [endpoint("r1/z2"), endpoint("r2/z1")], expected: ["r1/z2 0 1", "r2/z1 1 1"] },
	{
		title: "without outlier detection all are equal",
		setting: {},
		failover: false,
		expected: ["r1/z1/s1 0 1", "r1/z1/s2 0 1", "r1/z2 0 1", "r2/z1 0 1", "r3/z1 0 1"],
	},
	{
		title: "shares of the first matching rule, also without outlier detection; unnamed places are left empty",
		setting: { distribute: [{ from: "r1/*", to: { "r1/z2": 70, "r2/*": 30 } }] },
		failover: false,
		expected: ["r1/z1/s1 0 1 empty", "r1/z1/s2 0 1 empty", "r1/z2 0 70", "r2/z1 0 30", "r3/z1 0 1 empty"],
	},
	{
		title: "a share is divided among the places that a wildcard names, by their weights",
		setting: { distribute: [{ from: "*", to: { "r1/*": 90, "r2/*": 10 } }] },
		endpoints: [endpoint("r1/z1", { weight: 2 }), endpoint("r1/z2"), endpoint("r2/z1")],
		expected: ["r1/z1 0 60", "r1/z2 0 30", "r2/z1 0 10"],
	},
	{
		title: "the more exact of two patterns takes its place first",
		setting: { distribute: [{ from: "r1", to: { "r1/*": 50, "r1/z1/*": 50 } }] },
		endpoints: [endpoint("r1/z1"), endpoint("r1/z2")],
		expected: ["r1/z1 0 50", "r1/z2 0 50"],
	},
	{
		title: "no rule for the client's place leaves all as they are",
		setting: { distribute: [{ from: "r9/*", to: { "*": 100 } }] },
		endpoints: [endpoint("r1/z1")],
		expected: ["r1/z1 0 1"],
	},
	{
		title: "failoverPriority compares labels in order",
		setting: { failoverPriority: ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"] },
		endpoints: [endpoint("r1/z1"), endpoint("r1/z2"), endpoint("r2/z1")],
		expected: ["r1/z1 0 1", "r1/z2 1 1", "r2/z1 2 1"],
	},
	{
		title: "a later label counts only where the earlier ones agree",
		setting: { failoverPriority: ["version", "topology.kubernetes.io/zone"] },
		place: placeAt("r1/z1", { version: "v2" }),
		endpoints: [endpoint("r1/z1", { labels: { version: "v1" } }), endpoint("r1/z2", { labels: { version: "v2" } })],
		expected: ["r1/z2 0 1", "r1/z1 1 1"],
	},
	{
		title: "key=value asks the endpoint only, and splits a place",
		setting: { failoverPriority: ["version=v2"] },
		endpoints: [endpoint("r1/z1", { labels: { version: "v1" } }), endpoint("r1/z1", { labels: { version: "v2" }, weight: 3 })],
		expected: ["r1/z1 0 3", "r1/z1 1 1"],
	},
];
for (const { title, endpoints = everywhere, setting, place = placeAt("r1/z1/s1"), failover, expected } of cases) {
	test(title, () => assert.deepEqual(arranged(endpoints, setting, place, failover), expected));
}
