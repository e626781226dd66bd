import { staticCluster } from "./config.ts";
import { get, runScenarios } from "./scenarios.ts";

const mirrorTo = (cluster: string) => ({ request_mirror_policies: [{ cluster }] });
const route = (prefix: string, action: object = {}) => ({ match: { prefix }, route: { cluster: "echo", ...action } });

runScenarios(
	"copies of requests that whole tables and virtual hosts ask for",
	{
		table: {
			filters: [],
			routeConfig: mirrorTo("by-table"),
			host: { routes: [route("/own", mirrorTo("by-route")), route("/")] },
			requests: { "the table's": get("/x"), "the route's own": get("/own") },
		},
		host: {
			filters: [],
			routeConfig: mirrorTo("by-table"),
			host: { ...mirrorTo("by-host"), routes: [route("/own", mirrorTo("by-route")), route("/")] },
			requests: { "the host's": get("/x"), "the route's own": get("/own") },
		},
	},
	{
		stats: /^cluster\.by-\w+\.upstream_rq_total/,
		clusters: (port) => ["by-table", "by-host", "by-route"].map((name) => staticCluster(name, port)),
	},
);
