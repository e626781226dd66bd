import type { ListenerFilterChainMatchPredicate } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { ConnectionPredicate } from "../listeners.ts";
import { type At, report, under } from "./issues.ts";

/** `filter_disabled` of a listener filter: the connections that it leaves alone. */
export function decodeConnectionPredicate(at: At, message: ListenerFilterChainMatchPredicate): ConnectionPredicate {
	const { destinationPortRange, notMatch } = message;
	if (destinationPortRange !== undefined) return { kind: "destinationPort", start: destinationPortRange.start, end: destinationPortRange.end };
	if (message.orMatch !== undefined) return { kind: "or", rules: decodeRules(under(at, "orMatch"), message.orMatch.rules) };
	if (message.andMatch !== undefined) return { kind: "and", rules: decodeRules(under(at, "andMatch"), message.andMatch.rules) };
	if (notMatch !== undefined) return { kind: "not", rule: decodeConnectionPredicate(under(at, "notMatch"), notMatch) };
	if (message.anyMatch === undefined) report(at, "expected a rule: or_match, and_match, not_match, any_match or destination_port_range");
	return { kind: "any" };
}

function decodeRules(at: At, rules: readonly ListenerFilterChainMatchPredicate[]): readonly ConnectionPredicate[] {
	return rules.map((rule, i) => decodeConnectionPredicate(under(at, `rules[${i}]`), rule));
}
