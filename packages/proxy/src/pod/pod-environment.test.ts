import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type PodArguments, parsePodArguments } from "./arguments.ts";
import { type PodSources, readPodEnvironment } from "./pod-environment.ts";
import { parseDownwardApi, podFiles } from "./pod-files.ts";

const injected: Readonly<Record<string, string>> = {
	POD_NAME: "web-1",
	POD_NAMESPACE: "shop",
	INSTANCE_IP: "10.1.2.3",
	SERVICE_ACCOUNT: "web",
	CA_ADDR: "istiod.istio-system.svc:15012",
	PROXY_CONFIG: "{}\n",
	ISTIO_CPU_LIMIT: "2",
	ISTIO_META_POD_PORTS: '[\n    {"containerPort":8080}\n]',
	ISTIO_META_CLUSTER_ID: "Kubernetes",
	ISTIO_META_INTERCEPTION_MODE: "REDIRECT",
	ISTIO_META_WORKLOAD_NAME: "web",
	ISTIO_META_MESH_ID: "cluster.local",
};

const files: Readonly<Record<string, string>> = {
	[podFiles.labels]: 'app="web"\npod-template-hash="5d9"\nversion="v1"',
	[podFiles.annotations]: 'note="a \\"b\\"\\n\\u00e9"',
};

interface World {
	readonly args?: readonly string[];
	readonly env?: Readonly<Record<string, string | undefined>>;
	readonly files?: Readonly<Record<string, string>>;
	readonly addresses?: readonly string[];
	readonly cpus?: number;
	readonly directories?: readonly string[];
}

function argumentsOf(args: readonly string[]): PodArguments {
	const parsed = parsePodArguments(args);
	if (parsed.kind !== "arguments") throw new Error(parsed.kind === "error" ? parsed.message : parsed.kind);
	return parsed.arguments;
}

function read({
	args = ["sidecar", "--domain", "shop.svc.cluster.local"],
	env = {},
	files: more = {},
	addresses = ["10.1.2.3"],
	cpus = 8,
	directories = [],
}: World) {
	const mounted = { ...files, ...more };
	const sources: PodSources = {
		env: { ...injected, ...env },
		readFile: (path) => mounted[path],
		pathOf: (path) => `/${path}`,
		isDirectory: (path) => directories.includes(path),
		addresses: () => addresses,
		cpus: () => cpus,
	};
	return readPodEnvironment(argumentsOf(args), sources);
}

function flagsOf(world: World) {
	const result = read(world);
	if ("errors" in result) throw new Error(result.errors.join("; "));
	return result.flags;
}

describe("an injected pod's environment", () => {
	it("gives the node that Istio's agent sends", () => {
		const { nodeId, nodeCluster, nodeMetadata } = flagsOf({});
		assert.equal(nodeId, "sidecar~10.1.2.3~web-1.shop~shop.svc.cluster.local");
		assert.equal(nodeCluster, "web.shop");
		assert.deepEqual(nodeMetadata["LABELS"], { app: "web", version: "v1" });
		assert.deepEqual(nodeMetadata["ANNOTATIONS"], { note: 'a "b"\né' });
		const { NAME, NAMESPACE, SERVICE_ACCOUNT, CLUSTER_ID, INTERCEPTION_MODE, WORKLOAD_NAME, MESH_ID, INSTANCE_IPS, ISTIO_VERSION, POD_PORTS } = nodeMetadata;
		assert.deepEqual([NAME, NAMESPACE, SERVICE_ACCOUNT, CLUSTER_ID], ["web-1", "shop", "web", "Kubernetes"]);
		assert.deepEqual([INTERCEPTION_MODE, WORKLOAD_NAME, MESH_ID, INSTANCE_IPS], ["REDIRECT", "web", "cluster.local", "10.1.2.3"]);
		assert.match(String(ISTIO_VERSION), /^1\.\d+\.\d+$/);
		assert.equal(POD_PORTS, injected["ISTIO_META_POD_PORTS"]);
		assert.deepEqual([nodeMetadata["ENVOY_STATUS_PORT"], nodeMetadata["ENVOY_PROMETHEUS_PORT"]], [15_021, 15_090]);
		assert.deepEqual(nodeMetadata["PROXY_CONFIG"], {
			discoveryAddress: "istiod.istio-system.svc:15012",
			proxyAdminPort: 15_000,
			statusPort: 15_020,
			terminationDrainDuration: "5s",
			drainDuration: "45s",
		});
	});

	const same = <T>(pick: (flags: ReturnType<typeof flagsOf>) => T) => pick;
	const cases: Readonly<Record<string, readonly [World, (flags: ReturnType<typeof flagsOf>) => unknown, unknown]>> = {
		"a router": [{ args: ["router"] }, same((f) => f.nodeId), "router~10.1.2.3~web-1.shop~shop.svc.cluster.local"],
		"concurrency: the CPU limit": [{}, same((f) => f.concurrency), 2],
		"concurrency: no more than there are": [{ env: { ISTIO_CPU_LIMIT: "64" }, cpus: 4 }, same((f) => f.concurrency), 4],
		"concurrency: without a limit, all": [{ env: { ISTIO_CPU_LIMIT: undefined } }, same((f) => f.concurrency), 8],
		"concurrency: ProxyConfig's": [{ env: { PROXY_CONFIG: "concurrency: 3" } }, same((f) => f.concurrency), 3],
		"concurrency: 0 is all": [{ env: { PROXY_CONFIG: '{"concurrency":0}' } }, same((f) => f.concurrency), 8],
		"workers come on demand where nobody says how many": [{}, same((f) => f.workersOnDemand), true],
		"workers: all at once where ProxyConfig says how many": [{ env: { PROXY_CONFIG: "concurrency: 0" } }, same((f) => f.workersOnDemand), false],
		"workers: all at once where the flag does": [{ args: ["sidecar", "--concurrency=2"] }, same((f) => f.workersOnDemand), false],
		"concurrency: the flag wins": [{ args: ["sidecar", "--concurrency=5"], env: { PROXY_CONFIG: "concurrency: 3" } }, same((f) => f.concurrency), 5],
		"the pod's annotation is laid over PROXY_CONFIG": [
			{
				env: { PROXY_CONFIG: "concurrency: 3\nproxyMetadata: {ISTIO_META_A: a}" },
				files: { [podFiles.annotations]: 'proxy.istio.io/config="concurrency: 4\\nproxyMetadata: {ISTIO_META_B: b}\\n"' },
			},
			same((f) => [f.concurrency, f.nodeMetadata["A"], f.nodeMetadata["B"]]),
			[4, "a", "b"],
		],
		"proxyMetadata, the environment over it, JSON over both": [
			{ env: { PROXY_CONFIG: "proxyMetadata: {ISTIO_META_X: a, ISTIO_META_Y: a, OTHER: z}", ISTIO_META_Y: "b", ISTIO_METAJSON_ANY: '{"Z":{"n":1}}' } },
			same(({ nodeMetadata: { X, Y, Z, OTHER } }) => ({ X, Y, Z, OTHER })),
			{ X: "a", Y: "b", Z: { n: 1 }, OTHER: undefined },
		],
		"labels of the environment, under the pod's": [
			{ env: { ISTIO_METAJSON_LABELS: '{"app":"other","extra":"e"}' } },
			same((f) => f.nodeMetadata["LABELS"]),
			{ app: "web", version: "v1", extra: "e" },
		],
		"server names: of the addresses": [
			{ env: { PROXY_CONFIG: "discoveryAddress: istiod-weft.istio-system.svc:15012", CA_ADDR: "csr.cert-manager.svc:443" } },
			same((f) => [f.discoveryAddress, f.serverName, f.caAddress, f.caServerName]),
			["istiod-weft.istio-system.svc:15012", "istiod-weft.istio-system.svc", "csr.cert-manager.svc:443", "csr.cert-manager.svc"],
		],
		"server names: Istio's own where an address has none": [
			{ env: { PROXY_CONFIG: "discoveryAddress: 10.0.0.1:15012", CA_ADDR: "" } },
			same((f) => [f.serverName, f.caAddress]),
			[undefined, "10.0.0.1:15012"],
		],
		"all of the pod's addresses, its own first": [{ addresses: ["fd00::5", "10.1.2.3"] }, same((f) => f.nodeMetadata["INSTANCE_IPS"]), "10.1.2.3,fd00::5"],
		"the locality label": [{ files: { [podFiles.labels]: 'istio-locality="r1.z1.s1"' } }, same((f) => f.locality), { region: "r1", zone: "z1", subZone: "s1" }],
		"Kubernetes' own roots, the plain token": [
			{ env: { PILOT_CERT_PROVIDER: "kubernetes", JWT_POLICY: "first-party-jwt" } },
			same((f) => [f.rootCertFile, f.tokenFile]),
			["/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "/var/run/secrets/kubernetes.io/serviceaccount/token"],
		],
		"the volumes of the injector": [
			{},
			same((f) => [f.rootCertFile, f.tokenFile]),
			["/var/run/secrets/istio/root-cert.pem", "/var/run/secrets/tokens/istio-token"],
		],
		"how it drains": [
			{ env: { PROXY_CONFIG: "terminationDrainDuration: 1m30s\ndrainDuration: 0.5s", EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true", MINIMUM_DRAIN_DURATION: "7s" } },
			same((f) => [f.pod?.drain, f.nodeMetadata["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"]]),
			[{ terminationMs: 90_000, listenersMs: 500, exitsOnZeroConnections: true, minimumMs: 7000 }, "true"],
		],
		"probes go to the pod's address": [{}, same((f) => f.pod?.probeAddress), "10.1.2.3"],
		"or to loopback, where applications listen there": [
			{ env: { REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION: "true" } },
			same((f) => f.pod?.probeAddress),
			"127.0.0.1",
		],
		"a gateway merges nobody's metrics": [
			{ args: ["router"], env: { ISTIO_PROMETHEUS_ANNOTATIONS: '{"port":"9090"}' } },
			same((f) => f.pod?.scrape),
			undefined,
		],
	};
	for (const [name, [world, pick, expected]] of Object.entries(cases)) it(name, () => assert.deepEqual(pick(flagsOf(world)), expected));

	it("names everything that is wrong at once", () => {
		const result = read({
			env: {
				PROXY_CONFIG: "concurrency: many\ndrainDuration: soon\ndiscoveryAddress: nowhere",
				MINIMUM_DRAIN_DURATION: "x",
				SECRET_TTL: "never",
				ISTIO_KUBE_APP_PROBERS: '{"/x":{},"/app-health/a/livez":{"httpGet":{"port":"http"}}}',
				ISTIO_PROMETHEUS_ANNOTATIONS: '{"port":"15020"}',
			},
		});
		assert.ok("errors" in result);
		for (const part of ["concurrency", "drainDuration", "discoveryAddress", "MINIMUM_DRAIN_DURATION", "SECRET_TTL", "/x", "/app-health/a/livez", "15020"])
			assert.ok(
				result.errors.some((error) => error.includes(part)),
				`${part} in ${result.errors.join("; ")}`,
			);
	});

	it("warns of what has no effect, and of JSON that is none", () => {
		const result = read({ env: { PROXY_CONFIG: "statsdUdpAddress: a:1\nbinaryPath: /x", ISTIO_METAJSON_LABELS: "nope" } });
		assert.ok("warnings" in result);
		assert.deepEqual(result.warnings, [
			"these fields of ProxyConfig have no effect here: binaryPath, statsdUdpAddress",
			"ISTIO_METAJSON_LABELS is not a JSON object and is left out",
		]);
	});
});

describe("where a pod's certificate comes from", () => {
	const uds = "/var/run/secrets/workload-spiffe-uds";
	const pem = { "cert-chain.pem": "c", "key.pem": "k", "root-cert.pem": "r" };
	const mountedIn = (directory: string, names = Object.keys(pem)) => Object.fromEntries(names.map((name) => [`${directory}/${name}`, "pem"]));
	const filesOf = (directory: string) => ({
		certChain: `/${directory}/cert-chain.pem`,
		privateKey: `/${directory}/key.pem`,
		rootCert: `/${directory}/root-cert.pem`,
	});

	it("from the authority, and on to applications where the volume is mounted", () => {
		assert.deepEqual(flagsOf({}).credentials, {});
		assert.deepEqual(flagsOf({ directories: [uds] }).credentials, { workloadSocket: `${uds}/socket` });
	});

	it("asks for the name that the pod has, and trusts each server by its own roots", () => {
		const flags = flagsOf({ env: { TRUST_DOMAIN: "td.test", CA_ADDR: "cert-manager-istio-csr.cert-manager.svc:443", CA_ROOT_CA: "/ca.pem" } });
		assert.deepEqual(
			[flags.requestedId, flags.caServerName, flags.caRootCertFile, flags.rootCertFile],
			["spiffe://td.test/ns/shop/sa/web", "cert-manager-istio-csr.cert-manager.svc", "/ca.pem", `/${podFiles.rootCert}`],
		);
	});

	describe("and what its servers must lead to", () => {
		const rootsOf = (env: Readonly<Record<string, string>>, files: readonly string[] = []) => {
			const { rootCertFile, caRootCertFile } = flagsOf({ env, files: Object.fromEntries(files.map((name) => [name, "pem"])) });
			return [rootCertFile, caRootCertFile];
		};
		const userRoot = `${podFiles.mountedCertificates}/root-cert.pem`;
		const usual = `/${podFiles.rootCert}`;
		const cases: Readonly<Record<string, readonly [env: Readonly<Record<string, string>>, files: readonly string[], expected: readonly string[]]>> = {
			"the injector's volume": [{ PILOT_CERT_PROVIDER: "istiod" }, [], [usual, usual]],
			"for signers behind the Kubernetes API, too": [{ PILOT_CERT_PROVIDER: "k8s.io/x.io/mesh" }, [], [usual, usual]],
			"what is named, each for its own": [{ XDS_ROOT_CA: "/x", CA_ROOT_CA: "/c", PROV_CERT: "/p" }, [userRoot], ["/x", "/c"]],
			"the well-known authorities": [{ XDS_ROOT_CA: "SYSTEM", CA_ROOT_CA: "SYSTEM" }, [], ["SYSTEM", "SYSTEM"]],
			"a root of the user's: the control plane's": [{}, [userRoot], [`/${userRoot}`, usual]],
			"custom: the authority's as well": [{ PILOT_CERT_PROVIDER: "custom", PROV_CERT: "/p" }, [userRoot], [`/${userRoot}`, `/${userRoot}`]],
			"none, and what is named": [{ PILOT_CERT_PROVIDER: "none", XDS_ROOT_CA: "/x", CA_ROOT_CA: "/c" }, [], ["/x", "/c"]],
			"none, and what was provisioned": [{ PILOT_CERT_PROVIDER: "none", PROV_CERT: "/p" }, [], ["/p/root-cert.pem", "/p/root-cert.pem"]],
			"none, and no authority to ask": [{ PILOT_CERT_PROVIDER: "none", FILE_MOUNTED_CERTS: "true" }, [], [`/${userRoot}`, `/${userRoot}`]],
		};
		for (const [name, [env, files, expected]] of Object.entries(cases)) it(name, () => assert.deepEqual(rootsOf(env, files), expected));

		it("none, and nothing is named: each variable is asked for", () => {
			const result = read({ env: { PILOT_CERT_PROVIDER: "none" } });
			assert.ok("errors" in result);
			assert.deepEqual(
				result.errors.map((error) => /[A-Z]+_ROOT_CA/.exec(error)?.[0]),
				["XDS_ROOT_CA", "CA_ROOT_CA"],
			);
		});
	});

	it("from no authority of a cloud's", () => {
		const result = read({ env: { CA_PROVIDER: "GoogleCA" } });
		assert.ok("errors" in result && /CA_PROVIDER=GoogleCA: .*IstioCertificateService/.test(result.errors.join()));
		assert.deepEqual(flagsOf({ env: { CA_PROVIDER: "Citadel" } }).credentials, {});
		assert.ok(flagsOf({ env: { CA_PROVIDER: "GoogleCA", FILE_MOUNTED_CERTS: "true" } }).credentials.mounted, "who is not asked may be anybody");
	});

	it("from the platform's files, before those in /etc/certs", () => {
		const both = { ...mountedIn(podFiles.workloadCredentials), ...mountedIn(podFiles.mountedCertificates) };
		assert.deepEqual(flagsOf({ files: both }).credentials, { mounted: filesOf(podFiles.workloadCredentials) });
		assert.deepEqual(flagsOf({ files: mountedIn(podFiles.mountedCertificates) }).credentials, { mounted: filesOf("etc/certs") });
	});

	it("not from files that are not all there, which is told", () => {
		const result = read({ files: mountedIn(podFiles.mountedCertificates, ["root-cert.pem"]) });
		assert.ok("flags" in result);
		assert.deepEqual(result.flags.credentials, {});
		assert.deepEqual(result.warnings, ["/etc/certs has no cert-chain.pem, key.pem: the certificates there are not used"]);
	});

	it("OUTPUT_CERTS and PROV_CERT, as on a virtual machine", () => {
		const flags = flagsOf({ env: { OUTPUT_CERTS: "/etc/certs", PROV_CERT: "/etc/certs" }, files: mountedIn(podFiles.mountedCertificates) });
		assert.deepEqual(flags.credentials, { outputDirectory: "/etc/certs", provisionedDirectory: "/etc/certs" });
		assert.equal(flags.rootCertFile, "/etc/certs/root-cert.pem");
	});

	it("FILE_MOUNTED_CERTS, by the names in the node's metadata", () => {
		const named = {
			ISTIO_META_TLS_CLIENT_CERT_CHAIN: "/tls/tls.crt",
			ISTIO_META_TLS_CLIENT_KEY: "/tls/tls.key",
			ISTIO_META_TLS_CLIENT_ROOT_CERT: "/tls/ca.crt",
		};
		const flags = flagsOf({ env: { FILE_MOUNTED_CERTS: "true", ...named, ISTIO_META_TLS_SERVER_KEY: "/other/tls.key" } });
		assert.deepEqual(flags.credentials, { mounted: { certChain: "/tls/tls.crt", privateKey: "/tls/tls.key", rootCert: "/tls/ca.crt" } });
		assert.equal(flags.rootCertFile, "/tls/ca.crt");
		assert.equal(flags.nodeMetadata["TLS_SERVER_KEY"], "/other/tls.key");
		assert.deepEqual(flagsOf({ env: { FILE_MOUNTED_CERTS: "true" } }).credentials, { mounted: filesOf("etc/certs") });
	});

	it("refuses what cannot be", () => {
		const errors = (env: Readonly<Record<string, string>>) => {
			const result = read({ env });
			return "errors" in result ? result.errors : [];
		};
		assert.deepEqual(errors({ FILE_MOUNTED_CERTS: "true", PROV_CERT: "/p" }), ["PROV_CERT and FILE_MOUNTED_CERTS exclude each other"]);
		assert.deepEqual(errors({ WORKLOAD_IDENTITY_SOCKET_FILE: "../x" }), [
			"WORKLOAD_IDENTITY_SOCKET_FILE: a file name in /var/run/secrets/workload-spiffe-uds is wanted, got ../x",
		]);
	});

	it("WORKLOAD_IDENTITY_SOCKET_FILE names a socket that has to be there", () => {
		const flags = flagsOf({ env: { WORKLOAD_IDENTITY_SOCKET_FILE: "spire.sock" }, directories: [uds] });
		assert.deepEqual(flags.credentials, { workloadSocket: `${uds}/spire.sock`, needsForeignSocket: true });
	});
});

describe("pilot-agent's command line", () => {
	const injectedArgs =
		"sidecar --domain shop.svc.cluster.local --proxyLogLevel=warning --proxyComponentLogLevel=misc:error --log_output_level=default:info".split(" ");

	it("as the injector writes it, without a warning", () => {
		const parsed = parsePodArguments(injectedArgs);
		assert.equal(parsed.kind, "arguments");
		assert.deepEqual(parsed.kind === "arguments" && [parsed.warnings, parsed.arguments.proxyLogLevel, parsed.arguments.agentLogLevel], [[], "warn", "info"]);
	});

	it("loggers have levels of their own", () => {
		const parsed = parsePodArguments(["sidecar", "--proxyComponentLogLevel=rbac:debug,misc:error"]);
		assert.deepEqual(parsed.kind === "arguments" && [...parsed.arguments.componentLevels], [
			["rbac", "debug"],
			["misc", "error"],
		]);
	});

	it("flags without effect are named in one warning", () => {
		const parsed = parsePodArguments([...injectedArgs, "--stsPort=0", "--outlierLogPath", "/dev/stdout", "--log_as_json=true"]);
		assert.deepEqual(parsed.kind === "arguments" && [parsed.warnings, parsed.arguments.logAsJson], [
			["these flags have no effect here: --stsPort, --outlierLogPath"],
			true,
		]);
	});

	for (const [args, message] of [
		[["waypoint"], /invalid role waypoint/],
		[["sidecar", "more"], /unexpected argument more/],
		[["sidecar", "--concurrency=x"], /--concurrency/],
		[["sidecar", "--proxyLogLevel=loud"], /unknown level loud/],
		[["sidecar", "--proxyComponentLogLevel=rbac:loud"], /unknown level loud/],
		[["sidecar", "--proxyComponentLogLevel=rbac"], /expected LOGGER:LEVEL,…, got rbac/],
		[["sidecar", "--log_output_level=default:loud"], /default:loud/],
		[["sidecar", "--nonsense"], /nonsense/],
	] as const) {
		it(`refuses ${args.join(" ")}`, () => {
			const parsed = parsePodArguments(args);
			assert.match(parsed.kind === "error" ? parsed.message : parsed.kind, message);
		});
	}
});

describe("the downward API's files", () => {
	for (const [text, expected] of [
		['a="b"', { a: "b" }],
		['a="x=\\"y\\""\nb="1\\t2"', { a: 'x="y"', b: "1\t2" }],
		['a="\\xe2\\x82\\xac \\u20ac \\U0001f600"', { a: "€ € 😀" }],
		['broken\n="x"\nc=plain\nd="\\q"\ne="ok"\n', { e: "ok" }],
	] as const) {
		it(JSON.stringify(text), () => assert.deepEqual({ ...parseDownwardApi(text) }, expected));
	}
});

describe("a machine outside of Kubernetes", () => {
	const meshYaml = `
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  tracing: {zipkin: {address: "z:1"}}
  proxyMetadata: {ISTIO_META_NETWORK: edge}
  readinessProbe: {periodSeconds: 5, httpGet: {port: 8080, path: /ready}}
trustDomain: cluster.local
`;
	const environment = { PROXY_CONFIG: undefined, ISTIO_META_AUTO_REGISTER_GROUP: "reviews", POD_NAME: "vm-1" };

	it("takes ProxyConfig from mesh.yaml, and the probe in it", () => {
		const read1 = read({ env: environment, files: { [podFiles.meshConfig]: meshYaml } });
		assert.ok("flags" in read1, "errors" in read1 ? read1.errors.join() : "");
		const { flags } = read1;
		assert.equal(flags.discoveryAddress, "istiod.istio-system.svc:15012");
		assert.equal(flags.nodeMetadata["AUTO_REGISTER_GROUP"], "reviews");
		assert.equal(flags.nodeMetadata["NETWORK"], "edge");
		assert.deepEqual(flags.readinessProbe?.action, { kind: "http", port: 8080, path: "/ready", isTls: false });
		assert.equal(flags.readinessProbe?.periodMs, 5_000);
	});

	it("by the flag it is another file; PROXY_CONFIG is laid over it", () => {
		const args = ["sidecar", "--meshConfig", "/mesh.yaml"];
		const result = read({ args, env: { ...environment, PROXY_CONFIG: "discoveryAddress: other:15012" }, files: { "/mesh.yaml": meshYaml } });
		assert.ok("flags" in result);
		assert.equal(result.flags.discoveryAddress, "other:15012");
		assert.equal(result.flags.readinessProbe?.periodMs, 5_000);
		const missing = read({ args, env: environment });
		assert.ok("errors" in missing);
		assert.match(missing.errors.join(), /--meshConfig: \/mesh\.yaml cannot be read/);
	});

	it("a probe that is none, and a mesh.yaml that is none, are refused", () => {
		for (const [text, reason] of [
			["defaultConfig: {readinessProbe: {tcpSocket: {port: 0}}}", /readinessProbe\.tcpSocket\.port/],
			["defaultConfig: 1", /etc\/istio\/config\/mesh: defaultConfig: an object is wanted/],
			["[]", /etc\/istio\/config\/mesh: an object is wanted/],
		] as const) {
			const result = read({ env: environment, files: { [podFiles.meshConfig]: text } });
			assert.ok("errors" in result);
			assert.match(result.errors.join(), reason);
		}
	});
});
