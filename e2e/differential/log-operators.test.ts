import { extension, httpFilter } from "./config.ts";
import { get, runScenarios } from "./scenarios.ts";

const formatter = (name: string, message: string) => extension(`envoy.formatter.${name}`, `extensions.formatter.${name}.v3.${message}`);
const formatters = [formatter("cel", "Cel"), formatter("metadata", "Metadata"), formatter("req_without_query", "ReqWithoutQuery")];
const route = {
	match: { prefix: "/" },
	metadata: { filter_metadata: { shop: { name: "a", deep: { x: 1 } } } },
	route: { cluster: "echo", prefix_rewrite: "/new/" },
};

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
		},
	},
);
