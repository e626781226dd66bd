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

describe("what cannot be is refused by name", () => {
	const cases: readonly (readonly [string, Partial<DiscoveryFlags>, Readonly<Record<string, string>>, RegExp])[] = [
		["a duration", {}, { DEFAULT_WORKLOAD_CERT_TTL: "a day" }, /DEFAULT_WORKLOAD_CERT_TTL: "a day" is not a duration/],
		["an address", { httpsAddr: "15017" }, {}, /--httpsAddr: "15017" is not an address/],
		["a choice", {}, { ENABLE_NATIVE_SIDECARS: "maybe" }, /ENABLE_NATIVE_SIDECARS: "maybe" is not auto, true or false/],
		["an external CA", {}, { EXTERNAL_CA: "ISTIOD_RA_KUBERNETES_API" }, /EXTERNAL_CA=.*not implemented/],
		["a switch", {}, { ENABLE_CA_SERVER: "maybe" }, /ENABLE_CA_SERVER: "maybe" is not true or false/],
		["a rule for tokens", {}, { JWT_RULE: "{}" }, /JWT_RULE: issuer is missing/],
		["a kind of key", {}, { WEFT_ROOT_KEY_ALGORITHM: "dsa" }, /WEFT_ROOT_KEY_ALGORITHM: "dsa" is none of ecdsa-p256, ecdsa-p384, rsa-2048/],
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
