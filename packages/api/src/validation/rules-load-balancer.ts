import type { LocalityLoadBalancerSetting } from "../schema/common.ts";
import type { ConsistentHashLB, LoadBalancerSettings } from "../schema/destination-rule.ts";
import type { Report } from "./report.ts";
import { checkDuration, checkFineDuration } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

/** Envoy's limit on a Maglev table (https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/load_balancing_policies/maglev/v3/maglev.proto). */
const maglevTableMax = 5_000_011;

/** Those that `failover` orders by itself. */
const topologyLabels: ReadonlySet<string> = new Set(["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"]);

export function checkLoadBalancer(report: Report, settings: LoadBalancerSettings, hasOutlierDetection: boolean): void {
	if (settings.consistentHash) checkConsistentHash(report.at("consistentHash"), settings.consistentHash);
	if (settings.localityLbSetting) checkLocality(report.at("localityLbSetting"), settings.localityLbSetting, hasOutlierDetection);
	checkDuration(report.at("warmupDurationSecs"), settings.warmupDurationSecs);
	const warmup = settings.warmup;
	if (!warmup) return;
	const at = report.at("warmup");
	checkDuration(at.at("duration"), warmup.duration);
	if (warmup.minimumPercent !== undefined && (warmup.minimumPercent < 0 || warmup.minimumPercent > 100)) {
		at.at("minimumPercent").error(`${warmup.minimumPercent} must be from 0 to 100`);
	}
	if (warmup.aggression !== undefined && warmup.aggression < 1) at.at("aggression").error(`${warmup.aggression} must be at least 1`);
	const simple = settings.simple ?? "UNSPECIFIED";
	if (settings.consistentHash || simple === "RANDOM" || simple === "PASSTHROUGH") {
		at.warn("warmup works with ROUND_ROBIN and LEAST_REQUEST only, and has no effect here; change simple, or remove warmup");
	}
}

function checkConsistentHash(report: Report, hash: ConsistentHashLB): void {
	if (hash.httpCookie) {
		if (hash.httpCookie.name === "") report.at("httpCookie", "name").error("the cookie's name is empty");
		checkFineDuration(report.at("httpCookie", "ttl"), hash.httpCookie.ttl);
	}
	const keys = [hash.httpHeaderName, hash.httpCookie, hash.useSourceIp, hash.httpQueryParameterName];
	if (keys.every((key) => key === undefined)) {
		report.warn("consistentHash names nothing to hash by; give httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName");
	}
	if (hash.minimumRingSize && (hash.ringHash || hash.maglev))
		report.at("minimumRingSize").error("only one of minimumRingSize, ringHash and maglev may be set; keep ringHash");
	const table = hash.maglev?.tableSize;
	if (!hash.maglev) return;
	if (!table) report.at("maglev", "tableSize").error("tableSize must be set for maglev");
	else if (table >= maglevTableMax) report.at("maglev", "tableSize").error(`${table} must be less than ${maglevTableMax}`);
	else if (!isPrime(table)) report.at("maglev", "tableSize").error(`${table} must be a prime number, like 65537`);
}

function isPrime(n: number): boolean {
	if (n < 2) return false;
	for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
	return true;
}

export function checkLocality(report: Report, locality: LocalityLoadBalancerSetting, hasOutlierDetection: boolean): void {
	if (locality.distribute?.length && locality.failover?.length) report.error("distribute cannot stand beside failover; remove one");
	else if (locality.distribute?.length && locality.failoverPriority?.length) {
		report.at("failoverPriority").warn("has no effect beside distribute; remove one");
	}
	const ranked = locality.failover?.length ? locality.failoverPriority?.find((label) => topologyLabels.has(label)) : undefined;
	if (ranked !== undefined) {
		report.at("failoverPriority").error(`failover decides over regions already, so ${quote(ranked)} cannot stand beside it; remove one`);
	}
	const sources: string[] = [];
	for (const [i, { from = "", to = {} }] of (locality.distribute ?? []).entries()) {
		const at = report.at("distribute", i);
		checkLocalityName(at.at("from"), from);
		// A last "*" is for the rest.
		if (from !== "*" || sources.includes("*")) checkOverlap(at.at("from"), from, sources);
		sources.push(from);
		let total = 0;
		for (const [name, weight] of Object.entries(to)) {
			checkLocalityName(at.at("to", name), name);
			checkOverlap(
				at.at("to", name),
				name,
				Object.keys(to).filter((other) => other !== name),
			);
			if (weight < 1 || weight > 100) at.at("to", name).error(`the locality's weight ${weight} must be from 1 to 100`);
			total += weight;
		}
		if (total !== 100) at.at("to").error(`the locality weights sum to ${total}; they must sum to 100`);
	}
	for (const [i, { from = "", to = "" }] of (locality.failover ?? []).entries()) {
		const at = report.at("failover", i);
		if (from === to) at.error("the two regions of a failover must differ");
		for (const [side, region] of [
			["from", from],
			["to", to],
		] as const) {
			if (region === "" || /[/*]/.test(region)) at.at(side).error(`${quote(region)} is no region; failover knows regions only, without "/" and "*"`);
		}
	}
	const failsOver = locality.failover?.length || locality.failoverPriority?.length;
	if (failsOver && !hasOutlierDetection) report.warn("failover takes effect only together with outlierDetection; add it");
}

/** One locality inside of another would have two weights. */
function checkOverlap(report: Report, name: string, others: readonly string[]): void {
	const inside = (inner: string, outer: string) => outer === "*" || `${inner}/`.startsWith(`${outer.replace(/\/\*$/, "")}/`);
	const overlapping = others.find((other) => inside(name, other) || inside(other, name));
	if (overlapping !== undefined) report.error(`the locality ${quote(name)} overlaps with ${quote(overlapping)}; keep one`);
}

function checkLocalityName(report: Report, name: string): void {
	const parts = name.split("/");
	const star = parts.indexOf("*");
	if (name === "" || parts.length > 3 || parts.includes("") || (star >= 0 && star !== parts.length - 1)) {
		report.error(`${quote(name)} is no locality; write region/zone/subzone, where the last part given may be "*"`);
	}
}
