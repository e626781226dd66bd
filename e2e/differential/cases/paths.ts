import { httpListener, staticCluster } from "../config.ts";
import { type Case, get, type Suite } from "../suite.ts";

/** Listener → what its connection manager does to paths. */
const managers = {
	main: { normalize_path: true },
	merge: { merge_slashes: true },
	both: { normalize_path: true, merge_slashes: true },
	reject: { normalize_path: true, path_with_escaped_slashes_action: "REJECT_REQUEST" },
	redirect: { normalize_path: true, path_with_escaped_slashes_action: "UNESCAPE_AND_REDIRECT" },
	forward: { normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: "UNESCAPE_AND_FORWARD" },
	plain: {},
} as const;

const tried: Readonly<Record<keyof typeof managers, readonly string[]>> = {
	main: [
		"/a/./b",
		"/a/../b",
		"/../a",
		"/a/..",
		"/a/.",
		"/..",
		"/a//b",
		"/a/%2e%2e/b",
		"/a/%2E/b",
		"/%61bc",
		"/a%2fb",
		"/a%2Fb",
		"/a\\b",
		"/a\\..\\b",
		"/a%5cb",
		"/a%zz",
		"/a%",
		"/a%00b",
		"/a?x=/../b",
		"/a/../b?c=%61",
		"/a%7eb",
		"/%2f%2e",
		"/a b",
		"/a/...",
		"/a;b=c/../d",
		"/A/%C3%A9",
		"//a",
		"//a/../..//b",
		'/a"b',
		"/a|b",
		"/a^b`c",
		"/a<b>",
		"/a{b}",
	],
	merge: ["//a", "/a//b///c", "/a//b?x=//y", "/a/./b", "///"],
	both: ["/a//../b", "//..//a", "/a/.//b", "/a//b/..//c"],
	reject: ["/a%2fb", "/a%5Cb", "/a%2e", "/a?x=%2f", "/a%252fb"],
	redirect: ["/a%2fb", "/a%5cb?x=y", "/a/%2e%2e%2fb", "/a/b"],
	forward: ["/a%2fb", "/a%5c..%2fb", "/a%2f%2fb", "/x%2F..%2Fy?z=%2f"],
	plain: ["/a/../b", "//a", "/a%2fb", "/a\\b", "/a%00b"],
};

const cases: readonly Case[] = Object.entries(tried).flatMap(([listener, paths]) =>
	paths.map((path) => ({ name: `${listener} ${path}`, listener, send: get(path) })),
);

/** Routes tell what they matched by: the path that is routed by is the one that goes upstream. */
const route = {
	name: "r",
	virtual_hosts: [
		{
			name: "all",
			domains: ["*"],
			routes: [
				{ name: "b", match: { prefix: "/b" }, route: { cluster: "a" } },
				{ name: "rest", match: { prefix: "/" }, route: { cluster: "a" } },
			],
		},
	],
};

export const paths: Suite = {
	name: "paths",
	upstreams: ["a"],
	listeners: Object.keys(managers),
	resources: ({ upstream }, accessLog) => ({
		listeners: Object.entries(managers).map(([name, manager]) =>
			httpListener(name, { access_log: accessLog, delayed_close_timeout: "0.01s", route_config: route, ...manager }),
		),
		clusters: [staticCluster("a", upstream["a"] as number)],
	}),
	cases,
};
