import { inList, inObject, isObject, keyOf, type Node, note, read, rename, take } from "./upgrade-context.ts";

const corsType = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy";

const regexOf = (value: unknown) => ({ regex: value });

/** The v2 fields of a route table that v3 no longer has. */
export function upgradeRouteTable(table: Node): void {
	inList(table, "virtual_hosts", (host) => {
		inObject(host, "cors", upgradeCors);
		inList(host, "routes", upgradeRoute);
	});
}

function upgradeRoute(route: Node): void {
	inObject(route, "match", (match) => {
		rename(match, "regex", "safe_regex", regexOf);
		inObject(match, "safe_regex", dropEngine);
		inList(match, "headers", (header) => rename(header, "regex_match", "safe_regex_match", regexOf));
		inList(match, "query_parameters", upgradeQuery);
	});
	inObject(route, "route", upgradeAction);
	const typed = keyOf(route, "per_filter_config");
	if (typed !== undefined) note(route, "per_filter_config", "per_filter_config", `typed_per_filter_config, e.g. with "@type": ${corsType}`);
}

// The engine is RE2 always; naming it is still accepted.
function dropEngine(regex: Node): void {
	take(regex, "google_re2");
}

function upgradeQuery(query: Node): void {
	const isRegex = take(query, "regex");
	if (keyOf(query, "value") === undefined) return;
	note(query, "value", "value", isRegex === true ? "string_match.safe_regex" : "string_match.exact");
	const value = take(query, "value");
	query.fields["string_match"] = isRegex === true ? { safe_regex: regexOf(value) } : { exact: value };
}

function upgradeAction(action: Node): void {
	// Envoy has the name again: what holds operators is a format.
	if (!String(read(action, "host_rewrite")).includes("%")) rename(action, "host_rewrite", "host_rewrite_literal");
	rename(action, "auto_host_rewrite_header", "host_rewrite_header");
	rename(action, "request_mirror_policy", "request_mirror_policies", (policy) => [policy]);
	inObject(action, "cors", upgradeCors);
	if (keyOf(action, "use_websocket") !== undefined) {
		note(action, "use_websocket", "use_websocket", "upgrade_configs: [{ upgrade_type: websocket }]");
		const enabled = take(action, "use_websocket");
		action.fields["upgrade_configs"] = [{ upgrade_type: "websocket", enabled }];
	}
	const policies = read(action, "request_mirror_policies");
	if (Array.isArray(policies))
		inList(action, "request_mirror_policies", (policy) => rename(policy, "runtime_key", "runtime_fraction", (key) => ({ runtime_key: key })));
}

function upgradeCors(cors: Node): void {
	const origins = keyOf(cors, "allow_origin");
	const patterns = keyOf(cors, "allow_origin_regex");
	if (origins !== undefined || patterns !== undefined) {
		note(cors, origins === undefined ? "allow_origin_regex" : "allow_origin", origins ?? "allow_origin_regex", "allow_origin_string_match");
		const exact = asList(take(cors, "allow_origin")).map((value) => (value === "*" ? { safe_regex: { regex: ".*" } } : { exact: value }));
		const regexes = asList(take(cors, "allow_origin_regex")).map((value) => ({ safe_regex: regexOf(value) }));
		cors.fields["allow_origin_string_match"] = [...asList(take(cors, "allow_origin_string_match")), ...exact, ...regexes];
	}
	rename(cors, "enabled", "filter_enabled", (enabled) => ({
		default_value: { numerator: enabled === false || isObject(enabled) ? 0 : 100, denominator: "HUNDRED" },
	}));
}

function asList(value: unknown): readonly unknown[] {
	return Array.isArray(value) ? value : value === undefined ? [] : [value];
}
