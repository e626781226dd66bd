import { isIP } from "node:net";
import type { Address } from "@weft/xds/generated/envoy/config/core/v3/address.ts";
import type { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import type {
	DogStatsdSink,
	StatsConfig as ConfigMessage,
	StatsdSink,
	StatsMatcher as MatcherMessage,
	StatsSink as SinkMessage,
} from "@weft/xds/generated/envoy/config/metrics/v3/stats.ts";
import { defaultTagNames } from "../default-tags.ts";
import {
	defaultStatsConfig,
	statsFlushMsDefault,
	type StatsConfig,
	type StatsMatcher,
	type StatsSettings,
	type StatsSink,
	type StatsTag,
} from "../stats-config.ts";
import { decodeAddress } from "./address.ts";
import { openAny } from "./any.ts";
import { type At, durationMsOr, report, under } from "./issues.ts";
import { decodeStringMatch } from "./matchers.ts";

/** Ethernet's, less the headers: what a network is sure to pass on in one piece. */
const datagramBytesDefault = 1_432;
const prefixDefault = "envoy";

export function decodeStats(at: At, message: Bootstrap): StatsSettings {
	if (message.statsFlushInterval !== undefined && message.statsFlushOnAdmin)
		report(at, "Only one of stats_flush_interval or stats_flush_on_admin should be set!");
	return {
		config: decodeConfig(under(at, "statsConfig"), message.statsConfig),
		sinks: message.statsSinks.flatMap((sink, i) => decodeSink(under(at, `statsSinks[${i}]`), sink, message) ?? []),
		flushMs: durationMsOr(message.statsFlushInterval, statsFlushMsDefault) || statsFlushMsDefault,
	};
}

function decodeConfig(at: At, message: ConfigMessage | undefined): StatsConfig {
	if (message === undefined) return defaultStatsConfig;
	const tags: StatsTag[] = [];
	const named: string[] = [];
	for (const [i, { tagName, fixedValue, regex }] of message.statsTags.entries()) {
		const here = under(at, `statsTags[${i}]`);
		if (fixedValue !== undefined) tags.push({ kind: "fixed", name: tagName, value: fixedValue });
		else if (regex !== undefined && regex !== "") tags.push(decodeRegexTag(here, tagName, regex));
		else if (defaultTagNames.has(tagName)) named.push(tagName);
		else report(here, `No regex specified for tag specifier and no default regex for name: '${tagName}'`);
	}
	return {
		tags,
		defaultTags: message.useAllDefaultTags === false ? named : "all",
		matcher: decodeMatcher(under(at, "statsMatcher"), message.statsMatcher),
		histogramBounds: message.histogramBucketSettings.map(({ match, buckets }, i) => ({
			match: decodeStringMatch(under(at, `histogramBucketSettings[${i}].match`), match),
			bounds: [...buckets].sort((a, b) => a - b),
		})),
	};
}

function decodeRegexTag(at: At, name: string, pattern: string): StatsTag {
	try {
		void new RegExp(pattern);
	} catch (error) {
		report(at, `invalid regular expression: ${(error as Error).message}`);
	}
	return { kind: "regex", name, pattern };
}

function decodeMatcher(at: At, message: MatcherMessage | undefined): StatsMatcher {
	const patterns = (name: string, list: MatcherMessage["exclusionList"]) =>
		(list?.patterns ?? []).map((pattern, i) => decodeStringMatch(under(at, `${name}.patterns[${i}]`), pattern));
	if (message?.exclusionList !== undefined) return { kind: "exclude", patterns: patterns("exclusionList", message.exclusionList) };
	if (message?.inclusionList !== undefined) return { kind: "include", patterns: patterns("inclusionList", message.inclusionList) };
	return { kind: message?.rejectAll === true ? "none" : "all" };
}

function decodeSink(at: At, sink: SinkMessage, bootstrap: Bootstrap): StatsSink | undefined {
	const opened = openAny(at, sink.typedConfig, `stats sink ${sink.name}`);
	switch (opened?.typeName) {
		case undefined:
			return undefined;
		case "envoy.config.metrics.v3.StatsdSink": {
			const { prefix, tcpClusterName = "", address } = opened.message as StatsdSink;
			const common = { kind: "statsd", prefix: prefix || prefixDefault, datagramBytesMax: datagramBytesDefault } as const;
			if (tcpClusterName === "") return { ...common, target: decodeUdp(under(at, "address"), address) };
			checkCluster(under(at, "tcpClusterName"), tcpClusterName, bootstrap);
			return { ...common, target: { kind: "tcp", cluster: tcpClusterName } };
		}
		case "envoy.config.metrics.v3.DogStatsdSink": {
			const { prefix, address, maxBytesPerDatagram } = opened.message as DogStatsdSink;
			const datagramBytesMax = Number(maxBytesPerDatagram ?? 0n) || datagramBytesDefault;
			return { kind: "dogStatsd", prefix: prefix || prefixDefault, datagramBytesMax, target: decodeUdp(under(at, "address"), address) };
		}
	}
	report(at, `stats sink ${sink.name} of type ${opened?.typeName} is not implemented`);
	return undefined;
}

function decodeUdp(at: At, message: Address | undefined): StatsSink["target"] {
	const address = decodeAddress(at, message);
	if (address.kind === "ip" && isIP(address.address) !== 0) return { kind: "udp", address };
	report(at, "statsd over UDP wants an IP address");
	return { kind: "udp", address: { kind: "ip", address: "", port: 0 } };
}

/** Sent to from the main thread, in clear text. */
function checkCluster(at: At, wanted: string, { staticResources }: Bootstrap): void {
	const cluster = staticResources?.clusters.find(({ name }) => name === wanted);
	if (cluster === undefined) report(at, `unknown cluster '${wanted}'`);
	else if (cluster.transportSocket !== undefined && !cluster.transportSocket.typedConfig?.typeUrl.endsWith(".RawBuffer"))
		report(at, `cluster '${wanted}': a transport socket is not implemented for statistics`);
}
