import { httpFilter } from "./config.ts";
import { get, post, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const status = (op: string, value: number) => ({ status_code_filter: { comparison: { op, value: { default_value: value, runtime_key: "none" } } } });
const policy = (path: Json) => ({ permissions: [{ url_path: { path } }], principals: [{ any: true }] });
const refuse = httpFilter("envoy.filters.http.rbac", "rbac.v3.RBAC", {
	rules: { action: "DENY", policies: { "ns[foo]-policy[bar]-rule[0]": policy({ prefix: "/refused" }) } },
});
const add = (key: string, value: string, action = "APPEND_IF_EXISTS_OR_ADD") => ({ header: { key, value }, append_action: action });
const requests = {
	refused: get("/refused"),
	"refused with gRPC": post("/refused", "", "content-type: application/grpc\r\n"),
	"no route": get("/none"),
	"the upstream's own answer": get("/fine"),
	"nobody there": get("/nobody"),
	direct: get("/direct"),
};
const routes = [
	{ match: { prefix: "/fine" }, route: { cluster: "echo" } },
	{ match: { prefix: "/refused" }, route: { cluster: "echo" } },
	{ match: { prefix: "/nobody" }, route: { cluster: "nobody" } },
	{ match: { prefix: "/direct" }, direct_response: { status: 418, body: { inline_string: "teapot" } } },
];

const scenario = (local_reply_config: Json): Scenario => ({ filters: [refuse], host: { routes }, manager: { local_reply_config }, requests });

const scenarios: Readonly<Record<string, Scenario>> = {
	reason: scenario({
		mappers: [
			{
				filter: { or_filter: { filters: [status("EQ", 401), status("EQ", 403), status("EQ", 429)] } },
				headers_to_add: [add("x-weft-reason", "%RESPONSE_CODE_DETAILS%")],
			},
		],
	}),
	"the first mapper that holds": scenario({
		mappers: [
			{ filter: status("EQ", 403), status_code: 451, body: { inline_string: "not here" } },
			{ filter: status("GE", 400), headers_to_add: [add("x-second", "yes")] },
		],
	}),
	text: scenario({ body_format: { text_format: "%RESPONSE_CODE%:%LOCAL_REPLY_BODY%:%REQ(:path)%\n" } }),
	json: scenario({ body_format: { json_format: { code: "%RESPONSE_CODE%", body: "%LOCAL_REPLY_BODY%", why: "%RESPONSE_CODE_DETAILS%" } } }),
	"a format of the mapper's own": scenario({
		mappers: [
			{
				filter: status("EQ", 403),
				status_code: 404,
				body: { inline_string: "b" },
				body_format_override: {
					text_format_source: { inline_string: "<h1>%LOCAL_REPLY_BODY% %RESPONSE_CODE%</h1>" },
					content_type: "text/html; charset=UTF-8",
				},
				headers_to_add: [add("content-type", "x", "ADD_IF_ABSENT"), add("x-flags", "%RESPONSE_FLAGS%", "OVERWRITE_IF_EXISTS_OR_ADD")],
			},
		],
		body_format: { text_format: "common %LOCAL_REPLY_BODY%" },
	}),
	"by response flag": scenario({ mappers: [{ filter: { response_flag_filter: { flags: ["NR", "UH"] } }, status_code: 599 }] }),
};

runScenarios("local replies", scenarios, { stats: /^http\.(?!admin)[^.]*\.downstream_rq_[1-5]xx/ });
