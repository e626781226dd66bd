import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AnyConfig } from "@weft/api";
import { createTestMesh, service } from "../../translator/routes/test-mesh.ts";
import { computedStatus } from "../computed-status.ts";
import type { PushSnapshot } from "../push.ts";
import type { Condition } from "./status.ts";

const services =
	service("edge", "{name: http, port: 80}, {name: https, port: 443}, {name: tcp, port: 9000}") +
	service("web", "{name: http, port: 8000}") +
	service("api", "{name: grpc, port: 9090}");

function object(kind: string, name: string, spec: string, metadata = "namespace: default"): string {
	const versions: Readonly<Record<string, string>> = { TCPRoute: "v1alpha2", TLSRoute: "v1alpha2", ReferenceGrant: "v1beta1" };
	return `\napiVersion: gateway.networking.k8s.io/${versions[kind] ?? "v1"}\nkind: ${kind}\nmetadata: {name: ${name}, ${metadata}}\nspec: ${spec}\n---`;
}

const address = "addresses: [{type: Hostname, value: edge}]";
const gateway = (listeners: string, name = "gw"): string => object("Gateway", name, `{gatewayClassName: istio, ${address}, listeners: [${listeners}]}`);
const http = "{name: http, port: 80, protocol: HTTP}";
const route = (spec: string, name = "r", metadata?: string): string => object("HTTPRoute", name, `{parentRefs: [{name: gw}], ${spec}}`, metadata);
const toWeb = "backendRefs: [{name: web, port: 8000}]";

const compile = (yaml: string): PushSnapshot => createTestMesh().apply(services + yaml);
const serviceOf = (push: PushSnapshot, host: string) => push.virtualServices.find(({ hosts }) => hosts[0] === host);
const say = (conditions: readonly Condition[] | undefined): Readonly<Record<string, string>> =>
	Object.fromEntries((conditions ?? []).map(({ type, status, reason }) => [type, status === "True" ? "True" : reason]));
const routeStatus = (push: PushSnapshot, key: string) => push.gatewayStatus.routes.get(key)?.map(({ conditions }) => say(conditions));

describe("which Gateways are ours", () => {
	const classOf = (name: string, controller: string) => object("GatewayClass", name, `{controllerName: ${controller}}`, "namespace: ''");
	const count = (yaml: string) => compile(yaml).gateways.length;

	it("those of the built-in class, and of classes that name the controller", () => {
		const other = gateway(http).replace("istio,", "mine,");
		assert.equal(count(gateway(http)), 1);
		assert.equal(count(other), 0);
		assert.equal(count(other + classOf("mine", "istio.io/gateway-controller")), 1);
		assert.equal(count(other + classOf("mine", "example.com/another")), 0);
		assert.equal(count(gateway(http) + classOf("istio", "example.com/another")), 0);
	});

	it("a Gateway of another controller has no status of ours", () => {
		assert.equal(compile(gateway(http).replace("istio,", "mine,")).gatewayStatus.gateways.size, 0);
	});

	it("without addresses it is served by the Service that is named after it", () => {
		const push = compile(object("Gateway", "gw", `{gatewayClassName: istio, listeners: [${http}]}`));
		assert.deepEqual(push.gateways[0]?.services, ["gw-istio.default.svc.cluster.local"]);
		assert.deepEqual(say(push.gatewayStatus.gateways.get("default/gw")?.conditions), { Accepted: "True", Programmed: "AddressNotUsable" });
	});

	it("it is programmed once that Service is there and its load balancer has an address", () => {
		const own = object("Gateway", "gw", `{gatewayClassName: istio, listeners: [${http}]}`);
		const balancer = (status: string) =>
			`\napiVersion: v1\nkind: Service\nmetadata: {name: gw-istio, namespace: default}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\nstatus: ${status}\n---`;
		const statusWith = (status: string) => compile(own + balancer(status)).gatewayStatus.gateways.get("default/gw");
		const pending = statusWith("{}");
		assert.deepEqual(say(pending?.conditions), { Accepted: "True", Programmed: "AddressNotAssigned" });
		assert.match(pending?.conditions[1]?.message ?? "", /address pending for hostname "gw-istio\.default\.svc\.cluster\.local"/);
		const there = statusWith("{loadBalancer: {ingress: [{ip: 192.0.2.1}]}}");
		assert.deepEqual(say(there?.conditions), { Accepted: "True", Programmed: "True" });
		assert.deepEqual(there?.addresses, [{ type: "IPAddress", value: "192.0.2.1" }]);
	});

	it("parameters of what is deployed for it must be there", () => {
		const own = (ref: string) => object("Gateway", "gw", `{gatewayClassName: istio, infrastructure: {parametersRef: ${ref}}, listeners: [${http}]}`);
		const accepted = (yaml: string) => say(compile(yaml).gatewayStatus.gateways.get("default/gw")?.conditions)["Accepted"];
		const ref = "{group: '', kind: ConfigMap, name: more}";
		const config = "\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: default}\ndata: {service: ''}\n---";
		assert.equal(accepted(own(ref)), "InvalidParameters");
		assert.equal(accepted(own(ref) + config), "True");
		assert.equal(accepted(own("{group: example.com, kind: Other, name: more}") + config), "InvalidParameters");
	});

	it("addresses that are no hostnames are left out and told", () => {
		const push = compile(
			object(
				"Gateway",
				"gw",
				`{gatewayClassName: istio, addresses: [{type: Hostname, value: edge}, {type: IPAddress, value: 10.0.0.1}], listeners: [${http}]}`,
			),
		);
		assert.deepEqual(say(push.gatewayStatus.gateways.get("default/gw")?.conditions), { Accepted: "UnsupportedAddress", Programmed: "True" });
	});
});

describe("binding a route to a listener", () => {
	const other = "namespace: other";
	const cases: readonly [title: string, yaml: string, status: Readonly<Record<string, string>> | undefined][] = [
		["a route of the same namespace", gateway(http) + route(`rules: [{${toWeb}}]`), { Accepted: "True", ResolvedRefs: "True" }],
		[
			"a listener that is not there",
			gateway(http) + object("HTTPRoute", "r", `{parentRefs: [{name: gw, sectionName: no}], rules: [{${toWeb}}]}`),
			{ Accepted: "NoMatchingParent", ResolvedRefs: "True" },
		],
		[
			"a port that is not there",
			gateway(http) + object("HTTPRoute", "r", `{parentRefs: [{name: gw, port: 81}], rules: [{${toWeb}}]}`),
			{ Accepted: "NoMatchingParent", ResolvedRefs: "True" },
		],
		["a Gateway that is not there", object("HTTPRoute", "r", `{parentRefs: [{name: gw}], rules: [{${toWeb}}]}`), undefined],
		[
			"no host in common",
			gateway('{name: http, port: 80, protocol: HTTP, hostname: "*.a.com"}') + route(`hostnames: [b.com], rules: [{${toWeb}}]`),
			{ Accepted: "NoMatchingListenerHostname", ResolvedRefs: "True" },
		],
		[
			"a host below the listener's",
			gateway('{name: http, port: 80, protocol: HTTP, hostname: "*.a.com"}') + route(`hostnames: [x.a.com], rules: [{${toWeb}}]`),
			{ Accepted: "True", ResolvedRefs: "True" },
		],
		[
			"a kind that the protocol cannot carry",
			gateway("{name: tcp, port: 9000, protocol: TCP}") + route(`rules: [{${toWeb}}]`),
			{ Accepted: "NotAllowedByListeners", ResolvedRefs: "True" },
		],
		[
			"a kind that the listener does not allow",
			gateway("{name: http, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}") + route(`rules: [{${toWeb}}]`),
			{ Accepted: "NotAllowedByListeners", ResolvedRefs: "True" },
		],
		[
			"a backend that is not there",
			gateway(http) + route("rules: [{backendRefs: [{name: no, port: 1}]}]"),
			{ Accepted: "True", ResolvedRefs: "BackendNotFound" },
		],
		[
			"a backend of an unknown kind",
			gateway(http) + route("rules: [{backendRefs: [{group: x.io, kind: Y, name: z, port: 1}]}]"),
			{ Accepted: "True", ResolvedRefs: "InvalidKind" },
		],
		[
			"a backend elsewhere without a grant",
			gateway(http) + route("rules: [{backendRefs: [{name: web, namespace: elsewhere, port: 1}]}]"),
			{ Accepted: "True", ResolvedRefs: "RefNotPermitted" },
		],
		[
			"a filter that is not supported",
			gateway(http) + route(`rules: [{${toWeb}, filters: [{type: ExtensionRef, extensionRef: {group: g, kind: K, name: n}}]}]`),
			{ Accepted: "UnsupportedValue", ResolvedRefs: "True" },
		],
	];
	for (const [title, yaml, status] of cases) it(title, () => assert.deepEqual(routeStatus(compile(yaml), "HTTPRoute/default/r")?.[0], status));

	it("another namespace's routes only where the listener lets them", () => {
		const from = (rule: string) => `{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: ${rule}}}`;
		const namespace = "\napiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: red}}\n---";
		const foreign = object("HTTPRoute", "r", `{parentRefs: [{name: gw, namespace: default}], rules: [{${toWeb}}]}`, other);
		const accepted = (rule: string) => routeStatus(compile(gateway(from(rule)) + namespace + foreign), "HTTPRoute/other/r")?.[0]?.["Accepted"];
		assert.equal(accepted("{from: Same}"), "NotAllowedByListeners");
		assert.equal(accepted("{from: All}"), "True");
		assert.equal(accepted("{from: None}"), "NotAllowedByListeners");
		assert.equal(accepted("{from: Selector, selector: {matchLabels: {team: red}}}"), "True");
		assert.equal(accepted("{from: Selector, selector: {matchExpressions: [{key: team, operator: NotIn, values: [red]}]}}"), "NotAllowedByListeners");
		assert.equal(accepted("{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}}"), "True");
	});

	it("counts the routes attached to each listener", () => {
		const push = compile(
			gateway(`${http}, {name: b, port: 443, protocol: HTTP, hostname: b.com}`) +
				route(`hostnames: [a.com], rules: [{${toWeb}}]`) +
				route(`rules: [{${toWeb}}]`, "s"),
		);
		const listeners = push.gatewayStatus.gateways
			.get("default/gw")
			?.listeners.map(({ name, attachedRoutes, supportedKinds }) => [name, attachedRoutes, supportedKinds.length]);
		assert.deepEqual(listeners, [
			["http", 2, 2],
			["b", 1, 2],
		]);
	});

	it("a host that one listener names is not served by a wider one on the same port", () => {
		const listeners =
			'{name: any, port: 80, protocol: HTTP}, {name: wide, port: 80, protocol: HTTP, hostname: "*.a.com"}, {name: exact, port: 80, protocol: HTTP, hostname: x.a.com}';
		const push = compile(gateway(listeners) + route(`hostnames: [x.a.com], rules: [{${toWeb}}]`));
		assert.deepEqual(
			push.virtualServices.map(({ gateways }) => gateways[0]),
			["default/gw~istio-autogenerated-k8s-gateway~exact"],
		);
	});

	it("a grant for the Gateway's kind opens Secrets of another namespace", () => {
		const tls = gateway("{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert, namespace: certs}]}}");
		const grant = object(
			"ReferenceGrant",
			"g",
			"{from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}], to: [{group: '', kind: Secret, name: cert}]}",
			"namespace: certs",
		);
		const secret = "\napiVersion: v1\nkind: Secret\nmetadata: {name: cert, namespace: certs}\nstringData: {tls.crt: a, tls.key: b}\n---";
		const closed = compile(tls + secret);
		assert.deepEqual(closed.gateways, []);
		assert.deepEqual(say(closed.gatewayStatus.gateways.get("default/gw")?.listeners[0]?.conditions), {
			Accepted: "True",
			Conflicted: "NoConflicts",
			Programmed: "Invalid",
			ResolvedRefs: "RefNotPermitted",
		});
		assert.equal(compile(tls + secret + grant).gateways[0]?.servers[0]?.tls?.credentialName, "kubernetes-gateway://certs/cert");
	});

	it("a Secret that is not there keeps the listener shut", () => {
		const tls = gateway("{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}");
		const secret = (name: string, keys: string) => `\napiVersion: v1\nkind: Secret\nmetadata: {name: ${name}, namespace: default}\nstringData: {${keys}}\n---`;
		assert.equal(compile(tls).gateways.length, 0);
		assert.equal(compile(tls + secret("other", "tls.crt: a, tls.key: b")).gateways.length, 0);
		assert.equal(compile(tls + secret("cert", "tls.crt: a")).gateways.length, 0);
		assert.equal(compile(tls + secret("cert", "tls.crt: a, tls.key: b")).gateways.length, 1);
	});
});

describe("what rules become", () => {
	const first = (rules: string) => serviceOf(compile(gateway(http) + route(`rules: [${rules}]`)), "*")?.spec.http?.[0];
	const cases: readonly [title: string, rule: string, expected: object][] = [
		["no match is every path", `{${toWeb}}`, { match: undefined }],
		["a name of its own stays", `{name: mine, ${toWeb}}`, { name: "mine" }],
		["a slash at a prefix's end means nothing", `{matches: [{path: {type: PathPrefix, value: /a/}}], ${toWeb}}`, { match: [{ uri: { prefix: "/a" } }] }],
		[
			"of two entries for one header the first counts",
			`{matches: [{headers: [{name: X-A, value: "1"}, {name: x-a, value: "2"}]}], ${toWeb}}`,
			{ match: [{ uri: { prefix: "/" }, headers: { "X-A": { exact: "1" } } }] },
		],
		["no backends are answered with 404", "{}", { directResponse: { status: 404 } }],
		["backends of weight 0 alone with 500", "{backendRefs: [{name: web, port: 8000, weight: 0}]}", { directResponse: { status: 500 } }],
		[
			"a forbidden backend keeps its share",
			"{backendRefs: [{name: web, port: 8000, weight: 1}, {name: x, namespace: y, port: 1, weight: 3}]}",
			{
				route: [
					{ destination: { host: "web.default.svc.cluster.local", port: { number: 8000 } }, weight: 1 },
					{ destination: { host: "" }, weight: 3 },
				],
			},
		],
		[
			"a redirect is temporary unless it says otherwise",
			"{filters: [{type: RequestRedirect, requestRedirect: {hostname: a.com}}]}",
			{ redirect: { redirectCode: 302, authority: "a.com", derivePort: "FROM_REQUEST_PORT" } },
		],
		[
			"with a scheme it goes to the scheme's port",
			"{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]}",
			{ redirect: { redirectCode: 301, scheme: "https", derivePort: "FROM_PROTOCOL_DEFAULT" } },
		],
		[
			"a full path is replaced",
			`{${toWeb}, filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /x}}}]}`,
			{ rewrite: { uriRegexRewrite: { match: "/.*", rewrite: "/x" } } },
		],
		[
			"an empty prefix is the root",
			`{matches: [{path: {value: /a}}], ${toWeb}, filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: ""}}}]}`,
			{ rewrite: { uri: "/" } },
		],
		[
			"a mirror of a part",
			`{${toWeb}, filters: [{type: RequestMirror, requestMirror: {backendRef: {name: api, port: 9090}, fraction: {numerator: 1, denominator: 8}}}]}`,
			{ mirrors: [{ destination: { host: "api.default.svc.cluster.local", port: { number: 9090 } }, percentage: { value: 12.5 } }] },
		],
		[
			"a mirror that is not there is left out",
			`{${toWeb}, filters: [{type: RequestMirror, requestMirror: {backendRef: {name: no, port: 1}}}]}`,
			{ mirrors: undefined },
		],
		[
			"the backend's timeout is the route's where nothing is retried",
			`{${toWeb}, timeouts: {request: 3s, backendRequest: 1s}}`,
			{ timeout: "1s", retries: undefined },
		],
		[
			"and a try's where something is",
			`{${toWeb}, timeouts: {request: 3s, backendRequest: 1s}, retry: {attempts: 3}}`,
			{ timeout: "3s", retries: { attempts: 3, perTryTimeout: "1s", retryOn: "connect-failure,refused-stream,unavailable,cancelled" } },
		],
		["0s is no limit", `{${toWeb}, timeouts: {request: 0s}}`, { timeout: undefined }],
		["no attempts are none", `{${toWeb}, retry: {attempts: 0, codes: [500]}}`, { retries: { attempts: 0, retryOn: "" } }],
		[
			"CORS",
			`{${toWeb}, filters: [{type: CORS, cors: {allowOrigins: ["https://*.a.com", "https://b.com", "https://c.*"], allowMethods: [GET], allowCredentials: true, maxAge: 5}}]}`,
			{
				corsPolicy: {
					allowOrigins: [{ regex: "^https://.*\\.a\\.com$" }, { exact: "https://b.com" }, { prefix: "https://c." }],
					allowCredentials: true,
					allowMethods: ["GET"],
					maxAge: "5s",
					unmatchedPreflights: "IGNORE",
				},
			},
		],
		[
			"headers of a backend",
			"{backendRefs: [{name: web, port: 8000, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-B, value: c}]}}]}]}",
			{ route: [{ destination: { host: "web.default.svc.cluster.local", port: { number: 8000 } }, weight: 0, headers: { request: { set: { "x-b": "c" } } } }] },
		],
	];
	for (const [title, rule, expected] of cases) {
		it(title, () => {
			const built: Readonly<Record<string, unknown>> = { ...first(rule) };
			assert.deepEqual(Object.fromEntries(Object.keys(expected).map((key) => [key, built[key]])), expected);
		});
	}

	it("matches are sorted over all routes of a host: exact, longer prefix, expression; then method, headers, query", () => {
		const match = (text: string) => `{matches: [${text}], ${toWeb}}`;
		const one = route(
			`rules: [${[match("{path: {value: /a}}"), match("{path: {value: /a}, headers: [{name: h, value: v}]}"), match("{path: {value: /a}, method: GET}")].join()}]`,
			"one",
		);
		const two = route(
			`rules: [${[match("{path: {type: RegularExpression, value: /aaaa.*}}"), match("{path: {value: /aa}}"), match("{path: {type: Exact, value: /a}}"), match("{path: {value: /a}, queryParams: [{name: q, value: v}]}")].join()}]`,
			"two",
		);
		const names = serviceOf(compile(gateway(http) + one + two), "*")?.spec.http?.map(({ name }) => name);
		assert.deepEqual(names, ["default.two.2", "default.two.1", "default.one.2", "default.one.1", "default.two.3", "default.one.0", "default.two.0"]);
	});

	it("a GRPCRoute's methods are paths", () => {
		const grpc = (match: string) => {
			const push = compile(
				gateway(http) +
					object("GRPCRoute", "g", `{parentRefs: [{name: gw}], rules: [{matches: [{method: ${match}}], backendRefs: [{name: api, port: 9090}]}]}`),
			);
			return serviceOf(push, "*")?.spec.http?.[0]?.match?.[0]?.uri;
		};
		assert.deepEqual(grpc("{service: s, method: m}"), { exact: "/s/m" });
		assert.deepEqual(grpc("{service: s}"), { prefix: "/s/" });
		assert.deepEqual(grpc("{method: m}"), { regex: "/[^/]+/m" });
		assert.deepEqual(grpc("{type: RegularExpression, service: s.*}"), { regex: "/s.*/.+" });
	});

	it("an edit of one route leaves what others became the same object", () => {
		const mesh = createTestMesh();
		const before = mesh.apply(
			services + gateway(http) + route(`hostnames: [a.com], rules: [{${toWeb}}]`, "a") + route(`hostnames: [b.com], rules: [{${toWeb}}]`, "b"),
		);
		const after = mesh.apply(route(`hostnames: [a.com], rules: [{name: new, ${toWeb}}]`, "a"));
		assert.equal(serviceOf(after, "b.com"), serviceOf(before, "b.com"));
		assert.notEqual(serviceOf(after, "a.com"), serviceOf(before, "a.com"));
		assert.equal(after.gateways, before.gateways);
	});
});

describe("BackendTLSPolicy", () => {
	const policy = (fields: string, name = "p") =>
		object("BackendTLSPolicy", name, `{targetRefs: [{group: '', kind: Service, name: web}], validation: {hostname: web.example.com, ${fields}}}`);
	const system = "wellKnownCACertificates: System";
	const ruleOf = (yaml: string) => compile(yaml).destinationRules.byNamespace.get("default")?.exact.get("web.default.svc.cluster.local")?.[0];
	const statusOf = (yaml: string) => say(compile(yaml).gatewayStatus.backendTlsPolicies.get("default/p")?.[0]?.conditions);

	it("is TLS to the Service, with its name", () => {
		assert.deepEqual(ruleOf(policy(system))?.trafficPolicy, { tls: { mode: "SIMPLE", sni: "web.example.com", subjectAltNames: ["web.example.com"] } });
		assert.deepEqual(statusOf(policy(system)), { Accepted: "True", ResolvedRefs: "True" });
	});

	it("reads CAs from a ConfigMap, and trusts nobody where that is not there", () => {
		const own = policy("caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]");
		const map = "\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: default}\ndata: {ca.crt: pem}\n---";
		assert.equal(ruleOf(own + map)?.trafficPolicy?.tls?.credentialName, "configmap://default/ca");
		assert.equal(ruleOf(own)?.trafficPolicy?.tls?.credentialName, "invalid://");
		assert.deepEqual(statusOf(own), { Accepted: "NoValidCACertificate", ResolvedRefs: "InvalidCACertificateRef" });
	});

	it("may be for one port", () => {
		const port = object(
			"BackendTLSPolicy",
			"p",
			`{targetRefs: [{group: '', kind: Service, name: web, sectionName: http}], validation: {hostname: a.com, ${system}}}`,
		);
		assert.deepEqual(ruleOf(port)?.trafficPolicy?.portLevelSettings, [
			{ port: { number: 8000 }, tls: { mode: "SIMPLE", sni: "a.com", subjectAltNames: ["a.com"] } },
		]);
	});

	it("may be for the hosts of a ServiceEntry, or for one of its ports", () => {
		const entry =
			"\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: [a.example.com, b.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}\n---";
		const of = (section: string) =>
			object(
				"BackendTLSPolicy",
				"p",
				`{targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: e${section}}], validation: {hostname: x.com, ${system}}}`,
			);
		const policyOf = (yaml: string, host: string) => compile(yaml).destinationRules.byNamespace.get("default")?.exact.get(host)?.[0]?.trafficPolicy;
		const tls = { mode: "SIMPLE", sni: "x.com", subjectAltNames: ["x.com"] };
		for (const host of ["a.example.com", "b.example.com"]) {
			assert.deepEqual(policyOf(entry + of(""), host), { tls });
			assert.deepEqual(policyOf(entry + of(", sectionName: tls"), host), { portLevelSettings: [{ port: { number: 443 }, tls }] });
		}
		assert.deepEqual(statusOf(entry + of("")), { Accepted: "True", ResolvedRefs: "True" });
		assert.deepEqual(statusOf(of("")), { Accepted: "TargetNotFound", ResolvedRefs: "True" });
		assert.deepEqual(statusOf(entry + of(", sectionName: no")), { Accepted: "TargetNotFound", ResolvedRefs: "True" });
	});

	it("is for no other kind", () => {
		const other = policy(system).replace("kind: Service,", "kind: Pod,");
		assert.deepEqual(statusOf(other), { Accepted: "TargetNotFound", ResolvedRefs: "True" });
	});

	it("names a Service that is there", () => {
		assert.deepEqual(statusOf(policy(system).replace("name: web}", "name: no}")), { Accepted: "TargetNotFound", ResolvedRefs: "True" });
	});
});

describe("what is to be written into an object's status", () => {
	const entry =
		"\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: [a.example.com, b.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n---";

	function statusOf(yaml: string, kind: "HTTPRoute" | "ServiceEntry" | "VirtualService", name: string): unknown {
		const mesh = createTestMesh();
		const push = mesh.apply(services + yaml);
		const object = mesh.store.snapshot().get(kind, "default", name);
		assert.ok(object);
		return computedStatus(push, object as AnyConfig);
	}

	it("is what its kind's API wants", () => {
		const status = statusOf(gateway(http) + route(`rules: [{${toWeb}}]`), "HTTPRoute", "r") as {
			readonly parents: readonly { readonly controllerName: string }[];
		};
		assert.deepEqual(
			status.parents.map(({ controllerName }) => controllerName),
			["istio.io/gateway-controller"],
		);
	});

	it("names the automatic address of each host of a ServiceEntry", () => {
		const { addresses } = statusOf(entry, "ServiceEntry", "e") as { readonly addresses: readonly { readonly host: string; readonly value: string }[] };
		assert.deepEqual(
			addresses.map(({ host }) => host),
			["a.example.com", "b.example.com"],
		);
		assert.ok(addresses.every(({ value }) => value.startsWith("240.240.")));
		assert.equal(statusOf(entry.replace("resolution: DNS", "resolution: DNS, addresses: [10.1.1.1]"), "ServiceEntry", "e"), undefined);
	});
});
