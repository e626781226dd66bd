import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type DiscoveryFlags, readKubernetesOptions, SettingError } from "./environment.ts";
import { serverDnsNames } from "./identity.ts";

const flags: DiscoveryFlags = {
	monitoringAddr: "127.0.0.1:15014",
	grpcAddr: "",
	secureGRPCAddr: "127.0.0.1:15012",
	httpsAddr: "127.0.0.1:15017",
	httpAddr: "127.0.0.1:8080",
	meshConfig: "/etc/istio/config/mesh",
	networksConfig: "/etc/istio/config/meshNetworks",
	domain: "cluster.local",
};

test("without anything it is Istio's default installation", () => {
	const options = readKubernetesOptions(flags, { HOSTNAME: "istiod-abc" });
	const { namespace, podName, revision, clusterId, injectorConfigName, validatorConfigName, nativeSidecars, plaintextGrpc } = options;
	assert.deepEqual(
		{ namespace, podName, revision, clusterId, injectorConfigName, validatorConfigName, nativeSidecars, plaintextGrpc },
		{
			namespace: "istio-system",
			podName: "istiod-abc",
			revision: "default",
			clusterId: "Kubernetes",
			injectorConfigName: "istio-sidecar-injector",
			validatorConfigName: "istio-validator-istio-system",
			nativeSidecars: undefined,
			plaintextGrpc: undefined,
		},
	);
});

test("a revision is in its names", () => {
	const options = readKubernetesOptions(flags, { REVISION: "canary", POD_NAMESPACE: "mesh" });
	assert.equal(options.injectorConfigName, "istio-sidecar-injector-canary");
	assert.equal(options.validatorConfigName, "istio-validator-canary-mesh");
	assert.ok(serverDnsNames(options).includes("istiod-canary.mesh.svc"));
});

test("the chart's names of webhook configurations come first; empty means none", () => {
	const options = readKubernetesOptions(flags, { INJECTION_WEBHOOK_CONFIG_NAME: "mine", VALIDATION_WEBHOOK_CONFIG_NAME: "" });
	assert.equal(options.injectorConfigName, "mine");
	assert.equal(options.validatorConfigName, "");
});

test("all addresses, as Go writes them", () => {
	assert.match(readKubernetesOptions({ ...flags, httpsAddr: ":15017" }, {}).https, /^(\[::\]|0\.0\.0\.0):15017$/);
});

test("a shared mesh config, if one is named", () => {
	assert.equal(readKubernetesOptions(flags, { SHARED_MESH_CONFIG: "istio-common" }).sharedMeshConfig, "istio-common");
	assert.equal(readKubernetesOptions(flags, { SHARED_MESH_CONFIG: "" }).sharedMeshConfig, undefined);
});

const external = { EXTERNAL_CA: "ISTIOD_RA_KUBERNETES_API" };

test("signers behind the Kubernetes API, as istiod is told of them", () => {
	const signers = (environment: Readonly<Record<string, string>>) => readKubernetesOptions(flags, { ...external, ...environment }).externalSigner;
	assert.equal(readKubernetesOptions(flags, {}).externalSigner, undefined);
	assert.deepEqual(signers({ K8S_SIGNER: "x.io/mesh" }), { signerName: "x.io/mesh", signerDomain: undefined, serverSigner: undefined });
	assert.deepEqual(signers({ CERT_SIGNER_DOMAIN: "x.io", PILOT_CERT_PROVIDER: "k8s.io/x.io/istio-system" }), {
		signerName: undefined,
		signerDomain: "x.io",
		serverSigner: "istio-system",
	});
	assert.equal(signers({ K8S_SIGNER: "x.io/mesh", PILOT_CERT_PROVIDER: "k8s.io/x.io/mesh" })?.serverSigner, undefined);
});

test("networks that keys are not fetched from, as istiod is told of them", () => {
	const { blockedJwksNetworks: blocked } = readKubernetesOptions(flags, { BLOCKED_CIDRS_IN_JWKS_URIS: "10.0.0.0/8, fd00::/8," });
	assert.deepEqual([blocked.check("10.1.2.3"), blocked.check("11.1.2.3"), blocked.check("fd00::1", "ipv6")], [true, false, true]);
});

test("without an authority of its own the provider of roots is the proxies' matter", () => {
	for (const PILOT_CERT_PROVIDER of ["istiod", "custom", "none", "kubernetes", "k8s.io/x.io/mesh"]) {
		const options = readKubernetesOptions(flags, { ENABLE_CA_SERVER: "false", PILOT_CERT_PROVIDER });
		assert.deepEqual([options.isAuthority, options.externalSigner], [false, undefined]);
	}
});

test("who may read debug pages over HTTP, and whether there are any", () => {
	assert.deepEqual(readKubernetesOptions(flags, {}).debug, { onHttp: true, namespaces: [] });
	const environment = { ENABLE_DEBUG_ON_HTTP: "false", DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES: "kiali, observability" };
	assert.deepEqual(readKubernetesOptions(flags, environment).debug, { onHttp: false, namespaces: ["kiali", "observability"] });
});

describe("what cannot be is refused by name", () => {
	const cases: readonly (readonly [string, Partial<DiscoveryFlags>, Readonly<Record<string, string>>, RegExp])[] = [
		["a duration", {}, { DEFAULT_WORKLOAD_CERT_TTL: "a day" }, /DEFAULT_WORKLOAD_CERT_TTL: "a day" is not a duration/],
		["an address", { httpsAddr: "15017" }, {}, /--httpsAddr: "15017" is not an address/],
		["a choice", {}, { ENABLE_NATIVE_SIDECARS: "maybe" }, /ENABLE_NATIVE_SIDECARS: "maybe" is not auto, true or false/],
		["an external CA of another kind", {}, { EXTERNAL_CA: "ISTIOD_RA_ISTIO_API" }, /EXTERNAL_CA=ISTIOD_RA_ISTIO_API: .* is ISTIOD_RA_KUBERNETES_API/],
		["an external CA without a signer", {}, external, /needs K8S_SIGNER, CERT_SIGNER_DOMAIN or both/],
		["a signer without a domain", {}, { ...external, K8S_SIGNER: "mesh" }, /K8S_SIGNER: "mesh" is not a signer's name/],
		["a server whose signer nobody names", {}, { ...external, CERT_SIGNER_DOMAIN: "x.io" }, /PILOT_CERT_PROVIDER=k8s.io\/SIGNER has to say/],
		[
			"a server's signer of another domain",
			{},
			{ ...external, CERT_SIGNER_DOMAIN: "x.io", PILOT_CERT_PROVIDER: "k8s.io/y.io/a" },
			/K8S_SIGNER or of CERT_SIGNER_DOMAIN/,
		],
		["two who give out certificates", {}, { ...external, K8S_SIGNER: "x.io/a", ENABLE_CA_SERVER: "false" }, /exclude each other/],
		[
			"a server certificate of a signer without the rest",
			{},
			{ PILOT_CERT_PROVIDER: "k8s.io/x.io/a" },
			/PILOT_CERT_PROVIDER=k8s.io\/x.io\/a: .*not implemented, but for/,
		],
		["a network", {}, { BLOCKED_CIDRS_IN_JWKS_URIS: "10.0.0.0/8,10.0.0.0/33" }, /BLOCKED_CIDRS_IN_JWKS_URIS: "10.0.0.0\/33" is not a network/],
		["a network without its size", {}, { BLOCKED_CIDRS_IN_JWKS_URIS: "10.0.0.1" }, /"10.0.0.1" is not a network such as 10.0.0.0\/8/],
		["a switch", {}, { ENABLE_CA_SERVER: "maybe" }, /ENABLE_CA_SERVER: "maybe" is not true or false/],
		["a rule for tokens", {}, { JWT_RULE: "{}" }, /JWT_RULE: issuer is missing/],
		["a kind of key", {}, { WEFT_ROOT_KEY_ALGORITHM: "dsa" }, /WEFT_ROOT_KEY_ALGORITHM: "dsa" is none of ecdsa-p256, ecdsa-p384, rsa-2048/],
		["an external CA of another kind, without a CA of its own", {}, { EXTERNAL_CA: "x", ENABLE_CA_SERVER: "false" }, /EXTERNAL_CA=x: .* is ISTIOD_RA/],
		["a server certificate beside the CA's own", { tlsKeyFile: "/k" }, {}, /--tlsKeyFile counts with ENABLE_CA_SERVER=false alone/],
		["another certificate provider", {}, { PILOT_CERT_PROVIDER: "kubernetes" }, /PILOT_CERT_PROVIDER=kubernetes: .*not implemented/],
	];
	for (const [name, extra, environment, reason] of cases) {
		test(name, () => {
			assert.throws(
				() => readKubernetesOptions({ ...flags, ...extra }, environment),
				(error: unknown) => error instanceof SettingError && reason.test(error.message),
			);
		});
	}
});
