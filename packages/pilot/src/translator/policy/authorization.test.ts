import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { MeshConfig } from "@weft/api";
import type { Json } from "@weft/xds";
import { authorizationPolicy, pushOf, serverContext, service, shown } from "./testing.ts";
import { directionPolicies } from "./workload-policies.ts";

type Rbac = { readonly rules?: Rules; readonly shadowRules?: Rules; readonly [key: string]: Json | Rules | undefined };
type Rules = { readonly action?: string; readonly policies?: Readonly<Record<string, { readonly permissions: Json[]; readonly principals: Json[] }>> };

function authorizationOf(yaml: string, meshConfig: MeshConfig = {}) {
	const { push, node } = serverContext(pushOf(yaml, meshConfig));
	return directionPolicies(push, node, "inbound").authorization;
}

const all = [{ andRules: { rules: [{ any: true }] } }];
const anyone = [{ andIds: { ids: [{ any: true }] } }];
const name = (text: Json) => ({ authenticated: { principalName: text } });
const regex = (text: string) => ({ safeRegex: { regex: text } });
const claim = (path: readonly string[], value: Json): Json => ({
	metadata: { filter: "envoy.filters.http.jwt_authn", path: [{ key: "payload" }, ...path.map((key) => ({ key }))], value },
});

/** [title, rule, what it is on an HTTP chain, and on a TCP chain; undefined: there the rule is dropped, null: the same] */
const rules: readonly (readonly [title: string, rule: string, side: "principals" | "permissions", http: Json, tcp: Json | undefined])[] = [
	["any principal", 'from: [{source: {principals: ["*"]}}]', "principals", [{ andIds: { ids: [{ orIds: { ids: [name(regex(".+"))] } }] } }], null],
	[
		"a principal by its end, of which nothing becomes an expression",
		'from: [{source: {principals: ["*/sa/a.b"]}}]',
		"principals",
		[{ andIds: { ids: [{ orIds: { ids: [name(regex("spiffe://.*/sa/a\\.b"))] } }] } }],
		null,
	],
	[
		"a namespace with characters that an expression would read",
		'from: [{source: {namespaces: ["a.b", "c+*"]}}]',
		"principals",
		[{ andIds: { ids: [{ orIds: { ids: [name(regex(".*/ns/a\\.b/.*")), name(regex(".*/ns/c\\+.*/.*"))] } }] } }],
		null,
	],
	[
		"a service account of the policy's own namespace",
		"from: [{source: {serviceAccounts: [x.y]}}]",
		"principals",
		[{ andIds: { ids: [{ orIds: { ids: [name(regex("spiffe://.+/ns/default/(.+/|)sa/x\\.y(/.+)?"))] } }] } }],
		null,
	],
	[
		"not a service account of another namespace",
		"from: [{source: {notServiceAccounts: [n/x]}}]",
		"principals",
		[{ andIds: { ids: [{ notId: { orIds: { ids: [name(regex("spiffe://.+/ns/n/(.+/|)sa/x(/.+)?"))] } } }] } }],
		null,
	],
	[
		"any trust domain that ends so",
		'from: [{source: {trustDomains: ["*.prod"]}}]',
		"principals",
		[{ andIds: { ids: [{ orIds: { ids: [name(regex("spiffe://[^/]*\\.prod/.*"))] } }] } }],
		null,
	],
	[
		"several sources are alternatives, their fields are not",
		"from: [{source: {principals: [a/b], namespaces: [c]}}, {source: {ipBlocks: [10.0.0.1]}}]",
		"principals",
		[
			{ andIds: { ids: [{ orIds: { ids: [name({ exact: "spiffe://a/b" })] } }, { orIds: { ids: [name(regex(".*/ns/c/.*"))] } }] } },
			{ andIds: { ids: [{ orIds: { ids: [{ directRemoteIp: { addressPrefix: "10.0.0.1", prefixLen: 32 } }] } }] } },
		],
		null,
	],
	[
		"an issuer with slashes of its own",
		'from: [{source: {requestPrincipals: ["https://a.com/b/sub*"]}}]',
		"principals",
		[
			{
				andIds: {
					ids: [{ andIds: { ids: [claim(["iss"], { stringMatch: { exact: "https://a.com/b" } }), claim(["sub"], { stringMatch: { prefix: "sub" } })] } }],
				},
			},
		],
		undefined,
	],
	[
		"a request principal by the end of its issuer",
		'from: [{source: {requestPrincipals: ["*.com/x"]}}]',
		"principals",
		[
			{
				andIds: {
					ids: [{ andIds: { ids: [claim(["iss"], { stringMatch: { suffix: ".com" } }), claim(["sub"], { stringMatch: { exact: "x" } })] } }],
				},
			},
		],
		undefined,
	],
	[
		"a claim that is a list or a text",
		'when: [{key: "request.auth.claims[a][b]", values: [x, "y*"]}]',
		"principals",
		[
			{
				andIds: {
					ids: [
						claim(["a", "b"], {
							orMatch: {
								valueMatchers: [
									{ listMatch: { oneOf: { orMatch: { valueMatchers: [{ stringMatch: { exact: "x" } }, { stringMatch: { prefix: "y" } }] } } } },
									{ orMatch: { valueMatchers: [{ stringMatch: { exact: "x" } }, { stringMatch: { prefix: "y" } }] } },
								],
							},
						}),
					],
				},
			},
		],
		undefined,
	],
	[
		"not an audience",
		"when: [{key: request.auth.audiences, notValues: [x]}]",
		"principals",
		[
			{
				andIds: {
					ids: [
						{
							notId: claim(["aud"], {
								orMatch: { valueMatchers: [{ listMatch: { oneOf: { stringMatch: { exact: "x" } } } }, { stringMatch: { exact: "x" } }] },
							}),
						},
					],
				},
			},
		],
		undefined,
	],
	[
		"a remote address",
		"when: [{key: remote.ip, notValues: [2001:db8::/32]}]",
		"principals",
		[{ andIds: { ids: [{ notId: { orIds: { ids: [{ remoteIp: { addressPrefix: "2001:db8::", prefixLen: 32 } }] } } }] } }],
		null,
	],
	[
		"a destination and a server name",
		"when: [{key: destination.ip, values: [10.0.0.0/8]}, {key: connection.sni, values: ['*.a.com']}, {key: destination.port, values: ['80']}]",
		"permissions",
		[
			{
				andRules: {
					rules: [
						{ orRules: { rules: [{ destinationIp: { addressPrefix: "10.0.0.0", prefixLen: 8 } }] } },
						{ orRules: { rules: [{ requestedServerName: { suffix: ".a.com" } }] } },
						{ orRules: { rules: [{ destinationPort: 80 }] } },
					],
				},
			},
		],
		null,
	],
	[
		"any host, any method, any path",
		'to: [{operation: {hosts: ["*"], methods: ["*"], paths: ["*"]}}]',
		"permissions",
		[
			{
				andRules: {
					rules: [
						{ orRules: { rules: [{ header: { name: ":authority", presentMatch: true } }] } },
						{ orRules: { rules: [{ header: { name: ":method", presentMatch: true } }] } },
						{ orRules: { rules: [{ urlPath: { path: regex(".+") } }] } },
					],
				},
			},
		],
		undefined,
	],
	[
		"a path with characters that an expression would read stays a text",
		'to: [{operation: {paths: ["/a.b(c)+"], notPaths: ["*/x|y"]}}]',
		"permissions",
		[
			{
				andRules: {
					rules: [
						{ orRules: { rules: [{ urlPath: { path: { exact: "/a.b(c)+" } } }] } },
						{ notRule: { orRules: { rules: [{ urlPath: { path: { suffix: "/x|y" } } }] } } },
					],
				},
			},
		],
		undefined,
	],
	[
		"several values of filter metadata",
		'when: [{key: "experimental.envoy.filters.network.a[b]", values: ["[c]", d]}]',
		"permissions",
		[
			{
				andRules: {
					rules: [
						{
							metadata: {
								filter: "envoy.filters.network.a",
								path: [{ key: "b" }],
								value: { orMatch: { valueMatchers: [{ listMatch: { oneOf: { stringMatch: { exact: "c" } } } }, { stringMatch: { exact: "d" } }] } },
							},
						},
					],
				},
			},
		],
		null,
	],
];

suite("a rule of an AuthorizationPolicy becomes", () => {
	for (const [title, rule, side, http, tcp] of rules) {
		test(title, () => {
			const { http: onHttp, tcp: onTcp } = authorizationOf(authorizationPolicy("p", `{rules: [{${rule}}]}`));
			const id = "ns[default]-policy[p]-rule[0]";
			const policyOf = (filter: Parameters<typeof shown>[0] | undefined) => filter && (shown(filter) as Rbac).rules?.policies?.[id];
			assert.deepEqual(policyOf(onHttp.rbac[0])?.[side], http);
			assert.deepEqual(policyOf(onTcp.rbac[0])?.[side], tcp === null ? http : tcp);
		});
	}
});

suite("what cannot be judged on a TCP chain", () => {
	const tcpRules = (spec: string) => (shown(authorizationOf(authorizationPolicy("p", spec)).tcp.rbac[0]) as Rbac).rules;

	test("is never allowed: the rule is dropped, the filter stays", () => {
		assert.deepEqual(tcpRules("{rules: [{to: [{operation: {methods: [GET], ports: ['80']}}]}]}"), {});
	});

	test("is denied: only the condition is dropped", () => {
		const policy = { permissions: [{ andRules: { rules: [{ orRules: { rules: [{ destinationPort: 80 }] } }] } }], principals: anyone };
		const rules = tcpRules("{action: DENY, rules: [{to: [{operation: {notMethods: [GET], ports: ['80']}}]}]}");
		assert.deepEqual(rules, { action: "DENY", policies: { "ns[default]-policy[p]-rule[0]": policy } });
	});

	test("is denied to everyone where a claim alone decides", () => {
		const rules = tcpRules("{action: DENY, rules: [{when: [{key: 'request.auth.claims[a]', values: [b]}]}]}");
		assert.deepEqual(rules, { action: "DENY", policies: { "ns[default]-policy[p]-rule[0]": { permissions: all, principals: anyone } } });
	});
});

suite("AuthorizationPolicies are judged", () => {
	test("in order: logged, denied, allowed", () => {
		const yaml = ["ALLOW", "AUDIT", "DENY"].map((action) => authorizationPolicy(action.toLowerCase(), `{action: ${action}, rules: [{}]}`)).join("");
		const found = authorizationOf(yaml).http.rbac.map((filter) => (shown(filter) as Rbac).rules);
		assert.deepEqual(
			found.map((rules) => [rules?.action ?? "ALLOW", Object.keys(rules?.policies ?? {})]),
			[
				["LOG", ["ns[default]-policy[audit]-rule[0]"]],
				["DENY", ["ns[default]-policy[deny]-rule[0]"]],
				["ALLOW", ["ns[default]-policy[allow]-rule[0]"]],
			],
		);
	});

	test("only for the workloads that they select", () => {
		const other = authorizationPolicy("other", "{selector: {matchLabels: {app: other}}}");
		const target = authorizationPolicy("target", "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]}");
		assert.deepEqual(authorizationOf(other + target).http.rbac, []);
	});

	test("dry, beside those in force of the same action", () => {
		const dry = authorizationPolicy("dry", "{rules: [{}]}", ", annotations: {istio.io/dry-run: 'true'}");
		const [filter] = authorizationOf(dry + authorizationPolicy("real", "{rules: [{}]}")).http.rbac;
		const { rules, shadowRules } = shown(filter) as Rbac;
		assert.deepEqual(Object.keys(rules?.policies ?? {}), ["ns[default]-policy[real]-rule[0]"]);
		assert.deepEqual(Object.keys(shadowRules?.policies ?? {}), ["ns[default]-policy[dry]-rule[0]"]);
	});

	test("for all trust domains that the mesh goes by", () => {
		const policy = authorizationPolicy("p", "{rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b, other/ns/a/sa/b, '*/ns/a/sa/b']}}]}]}");
		const [filter] = authorizationOf(policy, { trustDomain: "new", trustDomainAliases: ["old"] }).http.rbac;
		const text = JSON.stringify(shown(filter));
		for (const id of ["spiffe://new/ns/a/sa/b", "spiffe://old/ns/a/sa/b", "spiffe://other/ns/a/sa/b"]) assert.ok(text.includes(`"exact":"${id}"`), id);
		assert.ok(text.includes('"regex":"spiffe://.*/ns/a/sa/b"'));
		assert.ok(!text.includes("spiffe://cluster.local"));
	});

	test("by the gateway that they target", () => {
		const policy = authorizationPolicy("p", "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]}");
		const { push, node } = serverContext(pushOf(policy), { LABELS: { "gateway.networking.k8s.io/gateway-name": "g" } });
		assert.equal(directionPolicies(push, node, "gateway").authorization.http.rbac.length, 1);
	});

	test("never for what leaves a workload", () => {
		const { push, node } = serverContext(pushOf(authorizationPolicy("p", "{}")));
		assert.deepEqual(directionPolicies(push, node, "outbound").authorization, { http: { custom: [], rbac: [] }, tcp: { custom: [], rbac: [] } });
	});
});

const http = { service: "authz.default.svc.cluster.local", port: 80 };
const custom = authorizationPolicy("c", "{action: CUSTOM, provider: {name: a}, rules: [{}]}");

suite("an external authorizer", () => {
	const providers = (provider: object): MeshConfig => ({ extensionProviders: [{ name: "a", ...provider }] });
	const filtersOf = (mesh: MeshConfig, yaml = custom + service("authz")) => authorizationOf(yaml, mesh).http.custom;

	test("is asked with every option of its provider", () => {
		const [, filter] = filtersOf(
			providers({
				envoyExtAuthzHttp: {
					...http,
					timeout: "2s",
					pathPrefix: "/check",
					failOpen: true,
					clearRouteCache: true,
					statusOnError: "503",
					includeRequestHeadersInCheck: ["x-a", "x-b-*", "*-c"],
					includeAdditionalHeadersInCheck: { "x-z": "1", "x-y": "2" },
					includeRequestBodyInCheck: { maxRequestBytes: 10, packAsBytes: true },
					headersToUpstreamOnAllow: ["u"],
					headersToDownstreamOnAllow: ["d"],
					headersToDownstreamOnDeny: ["e"],
				},
			}),
		);
		const pattern = (match: Json) => ({ patterns: [{ ...(match as object), ignoreCase: true }] });
		assert.deepEqual(shown(filter), {
			"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
			httpService: {
				serverUri: { uri: `http://${http.service}`, cluster: `outbound|80||${http.service}`, timeout: "2s" },
				pathPrefix: "/check",
				authorizationRequest: {
					headersToAdd: [
						{ key: "x-y", value: "2" },
						{ key: "x-z", value: "1" },
					],
				},
				authorizationResponse: {
					allowedUpstreamHeaders: pattern({ exact: "u" }),
					allowedClientHeaders: pattern({ exact: "e" }),
					allowedClientHeadersOnSuccess: pattern({ exact: "d" }),
				},
			},
			transportApiVersion: "V3",
			failureModeAllow: true,
			withRequestBody: { maxRequestBytes: 10, packAsBytes: true },
			clearRouteCache: true,
			statusOnError: { code: "ServiceUnavailable" },
			filterEnabledMetadata: {
				filter: "envoy.filters.http.rbac",
				path: [{ key: "istio_ext_authz_shadow_effective_policy_id" }],
				value: { stringMatch: { prefix: "istio-ext-authz-a" } },
			},
			allowedHeaders: {
				patterns: [
					{ exact: "x-a", ignoreCase: true },
					{ prefix: "x-b-", ignoreCase: true },
					{ suffix: "-c", ignoreCase: true },
				],
			},
		});
	});

	test("by HTTP is not asked about connections", () => {
		assert.deepEqual(authorizationOf(custom + service("authz"), providers({ envoyExtAuthzHttp: http })).tcp.custom, []);
	});

	const broken: readonly (readonly [title: string, mesh: MeshConfig, yaml?: string])[] = [
		["is not declared", {}],
		["is none for authorization", providers({ prometheus: {} })],
		["has no service", providers({ envoyExtAuthzGrpc: http }), custom],
		["is to be sent every header", providers({ envoyExtAuthzHttp: { ...http, includeRequestHeadersInCheck: ["*"] } })],
		[
			"is one of two for a workload",
			{
				extensionProviders: [
					{ name: "a", envoyExtAuthzGrpc: http },
					{ name: "b", envoyExtAuthzGrpc: http },
				],
			},
			`${custom}${authorizationPolicy("d", "{action: CUSTOM, provider: {name: b}, rules: [{}]}")}${service("authz")}`,
		],
	];
	for (const [title, mesh, yaml] of broken) {
		test(`that ${title} means: denied`, () => {
			const [filter, ...rest] = filtersOf(mesh, yaml);
			const { rules, shadowRules } = shown(filter) as Rbac;
			assert.deepEqual([rules?.action, shadowRules, rest.some(({ name: own }) => own.includes("ext_authz"))], ["DENY", undefined, false]);
			assert.deepEqual(Object.keys(rules?.policies ?? {}), ["istio-ext-authz-a-ns[default]-policy[c]-rule[0]-deny-due-to-bad-CUSTOM-action"]);
		});
	}
});

suite("policies keep what they were made into", () => {
	test("while something else changes", () => {
		const text = authorizationPolicy("p", "{rules: [{}]}");
		const first = pushOf(text);
		const { push, node } = serverContext(first);
		const before = directionPolicies(push, node, "inbound");
		assert.equal(directionPolicies(push, node, "inbound"), before);
	});
});
