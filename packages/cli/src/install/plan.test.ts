import assert from "node:assert/strict";
import { test } from "node:test";
import { type InstallRequest, planInstall } from "./plan.ts";

const plan = (values: InstallRequest["values"] = {}, request: Omit<InstallRequest, "values"> = {}) => planInstall({ values, ...request });
const releases = (...args: Parameters<typeof plan>) => plan(...args).map(({ release }) => release);

test("a profile says which gateways there are, and the user comes before it", () => {
	assert.deepEqual(releases(), ["weft-base", "weft", "istio-ingressgateway"]);
	assert.deepEqual(releases({ profile: "demo" }), ["weft-base", "weft", "istio-ingressgateway", "istio-egressgateway"]);
	assert.deepEqual(releases({ profile: "minimal" }), ["weft-base", "weft"]);
	assert.deepEqual(releases({ components: { ingressGateways: [{ enabled: false }] } }), ["weft-base", "weft"]);
	assert.deepEqual(releases({ profile: "minimal", components: { egressGateways: [{ enabled: true }] } }), ["weft-base", "weft", "istio-egressgateway"]);
	assert.deepEqual(releases({ profile: "minimal", gateways: { "istio-ingressgateway": { enabled: true } } }), ["weft-base", "weft", "istio-ingressgateway"]);
	assert.deepEqual(releases({ profile: "minimal", components: { base: { enabled: false } } }), ["weft"]);
});

test("values find their chart, in Helm's layout and in istioctl's", () => {
	const values = {
		profile: "demo",
		hub: "example.com/mesh",
		meshConfig: { accessLogFile: "" },
		values: { base: { enableCRDTemplates: false }, global: { proxy: { logLevel: "debug" } } },
		gateways: { "istio-ingressgateway": { service: { type: "NodePort" } } },
	};
	const [base, controlPlane, ingress] = plan(values);
	assert.deepEqual(base?.values, { base: { enableCRDTemplates: false }, global: { istioNamespace: "istio-system" } });
	assert.deepEqual(controlPlane?.values, {
		profile: "demo",
		meshConfig: { accessLogFile: "" },
		global: { hub: "example.com/mesh", proxy: { logLevel: "debug" }, istioNamespace: "istio-system" },
	});
	assert.deepEqual(ingress?.values["service"], { type: "NodePort" });
	assert.deepEqual(ingress?.values["autoscaling"], { enabled: false });
});

test("a revision is a release of its own, and its gateways are configured by it", () => {
	const [, controlPlane, ingress] = plan({}, { revision: "canary" });
	assert.equal(controlPlane?.release, "weft-canary");
	assert.equal(controlPlane?.values["revision"], "canary");
	assert.equal(ingress?.values["revision"], "canary");
	assert.equal(plan({ revision: "next" })[1]?.release, "weft-next");
});

test("everything goes to one namespace", () => {
	assert.deepEqual(new Set(plan({}, { namespace: "mesh" }).map(({ namespace }) => namespace)), new Set(["mesh"]));
	assert.deepEqual(new Set(plan({ global: { istioNamespace: "own" } }).map(({ namespace }) => namespace)), new Set(["own"]));
});

test("what is not known is refused by its name", () => {
	assert.throws(() => plan({ profile: "ambient" }), /no profile "ambient"; there are default, demo, minimal/);
	assert.throws(() => plan({ components: { cni: { enabled: true } } }), /components\.cni: there is no such component/);
	assert.throws(() => plan({ kind: "IstioOperator" }), /IstioOperator/);
});
