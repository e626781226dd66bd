import { extension, httpFilter, loopback, staticCluster } from "./config.ts";
import { get, runScenarios } from "./scenarios.ts";

const formatter = (name: string, message: string) => extension(`envoy.formatter.${name}`, `extensions.formatter.${name}.v3.${message}`);
const formatters = [formatter("cel", "Cel"), formatter("metadata", "Metadata"), formatter("req_without_query", "ReqWithoutQuery")];
const route = {
	match: { prefix: "/" },
	metadata: { filter_metadata: { shop: { name: "a", deep: { x: 1 } } } },
	route: { cluster: "echo", prefix_rewrite: "/new/" },
};

const attempted = ["UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT"];
const retries = { retry_on: "5xx,connect-failure", num_retries: 2 };
const masked = ["DOWNSTREAM_REMOTE", "DOWNSTREAM_LOCAL", "DOWNSTREAM_DIRECT_REMOTE", "UPSTREAM_REMOTE", "UPSTREAM_LOCAL"];
const namespace = (name: string) => ({ filter_metadata: { shop: { name, deep: { x: 1 } } } });
const object = (object_key: string, factory_key: string, text: string) => ({
	object_key,
	factory_key,
	format_string: { text_format_source: { inline_string: text } },
});
const addressKey = "envoy.network.transport_socket.original_dst_address";
const fieldOf = (key: string, field: string) => `%FILTER_STATE(${key}:FIELD:${field})%`;
const queries = ["%41=1", "a=%zz%41", "a=%4", "a=x%4g", "a=%20%7e%7f%0a%C3%A9", "a+b=c+d", "&&=x&", "q=%C3%A9%20x&r=%E2%82", ""];

/** The bodies are the formats. */
const replies = (format: string) => ({ local_reply_config: { body_format: { text_format_source: { inline_string: format }, formatters } } });

runScenarios(
	"operators of log formats",
	{
		"rewritten paths": {
			filters: [],
			host: { routes: [route] },
			requests: { "with a query": get("/a?q=1&empty=&r=2", "x-a: 1?2\r\n"), "without one": get("/a") },
		},
		"all of a query": {
			filters: [],
			requests: Object.fromEntries(queries.map((query) => [query === "" ? "an empty one" : query, get(`/a?${query}`)])),
		},
		"hosts that were asked": {
			filters: [],
			host: {
				routes: [
					{ match: { prefix: "/refused" }, route: { cluster: "refusing", retry_policy: retries } },
					{ match: { prefix: "/" }, route: { cluster: "named", retry_policy: retries } },
				],
			},
			requests: { "one that is there": get("/"), "one that fails each time": get("/failing"), "one that is not there": get("/refused") },
		},
		"metadata of listener and virtual host": {
			filters: [],
			listener: { metadata: namespace("of the listener") },
			host: { metadata: namespace("of the host"), routes: [{ match: { prefix: "/a" }, direct_response: { status: 200 } }] },
			requests: { "a route": get("/a"), "no route": get("/b") },
		},
		"fields of objects": {
			filters: [
				httpFilter("envoy.filters.http.set_filter_state", "set_filter_state.v3.Config", {
					on_request_headers: [object("address", addressKey, "10.1.2.3:80"), object("text", "envoy.string", "a"), object("v6", addressKey, "[fd00::1]:81")],
				}),
			],
			requests: { "of a request": get("/") },
		},
		"in bodies": {
			filters: [httpFilter("envoy.filters.http.rbac", "rbac.v3.RBAC", { rules: {} })],
			manager: replies(
				[
					"%REQ_WITHOUT_QUERY(:path)%",
					"%REQ_WITHOUT_QUERY(x-nobody?:path)%",
					"%REQ_WITHOUT_QUERY(x-a)%",
					"%REQ_WITHOUT_QUERY(x-nobody)%",
					"%REQ_WITHOUT_QUERY(:path):2%",
					"%CEL(request.path.contains('a') ? 'yes' : 'no')%",
					"%METADATA(ROUTE:shop:name)%",
				].join("|"),
			),
			host: { routes: [route] },
			requests: { "with a query": get("/a?q=1", "x-a: 1?2\r\n"), "without one": get("/abc") },
		},
	},
	{
		stats: /^nothing$/,
		answer: { "/failing": () => ({ status: 503 }) },
		clusters: (port) => [
			{
				...staticCluster("named", port),
				load_assignment: { cluster_name: "named", endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port), hostname: "one.example:8080" } }] }] },
			},
			staticCluster("refusing", 1),
		],
		log: {
			route: "%METADATA(ROUTE:shop:name)%",
			deep: "%METADATA(ROUTE:shop:deep)%",
			"no metadata": "%METADATA(DYNAMIC:shop)%",
			cluster: "%METADATA(CLUSTER:shop)%",
			host: "%METADATA(UPSTREAM_HOST:shop)%",
			cel: "%CEL(request.method)%",
			"cel with parentheses": "%CEL(request.path.startsWith('/new') && (1 + 2) * 3 % 4 == 1)%",
			"cel of a number": "%CEL(response.code)%",
			"cel of nothing": "%CEL(request.headers['x-nobody'])%",
			"cel in text": "[%CEL(request.headers['x-nobody'])%]",
			"cel, cut": "%CEL(request.path):2%",
			"typed cel": "%TYPED_CEL(response.code)%",
			"typed cel of text": "%TYPED_CEL(request.method)%",
			"typed cel of a boolean": "%TYPED_CEL(response.code == 200)%",
			"path now": "%PATH(WQ:PATH)%",
			"path now, without the query": "%PATH(NQ:PATH)%",
			"path then": "%PATH(NQ:ORIG)%",
			"some path": "%PATH%",
			parameter: "%QUERY_PARAM(q)%",
			"another parameter": "%QUERY_PARAM(r)%",
			"empty parameter": "%QUERY_PARAM(empty)%",
			"no parameter": "%QUERY_PARAM(nobody)%",
			query: "%QUERY_PARAMS%",
			"query as it came": "[%QUERY_PARAMS(ORIG)%]",
			"query, decoded": "%QUERY_PARAMS(DECODED)%",
			"query, cut": "%QUERY_PARAMS(DECODED):4%",
			"no span": "%SPAN_ID%",
			...Object.fromEntries(attempted.map((name) => [name, `%${name}%`])),
			...Object.fromEntries(masked.flatMap((name) => ["16", "0", "99", ""].map((bits) => [`${name} ${bits}`, `%${name}_ADDRESS_WITHOUT_PORT(${bits})%`]))),
			"listener, one value": "%METADATA(LISTENER:shop:name)%",
			listener: "%METADATA(LISTENER:shop)%",
			"virtual host": "%METADATA(VIRTUAL_HOST:shop:deep)%",
			"ip of an object": fieldOf("address", "ip"),
			"port of an object": fieldOf("address", "port"),
			"ip of IPv6": fieldOf("v6", "ip"),
			"no field": `${fieldOf("address", "x")} ${fieldOf("text", "ip")} ${fieldOf("nobody", "ip")}`,
			"field, cut": `%FILTER_STATE(address:FIELD:ip):4%`,
		},
	},
);
