import { anything, int32, list, obj, oneOf, opt, type StaticOf, text, uint32 } from "./builders.ts";
import { matchLabelsSelectorSchema, policyTarget, targetRefSchema } from "./common.ts";

// https://istio.io/latest/docs/reference/config/proxy_extensions/

const phases = ["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"] as const;
const trafficSelectorSchema = obj({
	mode: opt(oneOf(["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"])),
	ports: opt(list(obj({ number: uint32() }))),
});
export type TrafficSelector = StaticOf<typeof trafficSelectorSchema>;

const vmConfigSchema = obj({
	env: opt(list(obj({ name: text(), valueFrom: opt(oneOf(["INLINE", "HOST"])), value: opt(text()) }))),
});

const module = {
	url: text({ description: "oci:// (also without a scheme), http://, https:// or file://" }),
	sha256: opt(text()),
	imagePullPolicy: opt(oneOf(["UNSPECIFIED_POLICY", "IfNotPresent", "Always"])),
	imagePullSecret: opt(text()),
	verificationKey: opt(text()),
	pluginConfig: opt(anything()),
	pluginName: opt(text()),
	failStrategy: opt(oneOf(["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"])),
	vmConfig: opt(vmConfigSchema),
	type: opt(oneOf(["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"])),
};
const place = { priority: opt(int32()), match: opt(list(trafficSelectorSchema)) };

export const wasmPluginSchema = obj({ ...policyTarget, ...module, phase: opt(oneOf(phases)), ...place });
export type WasmPluginSpec = StaticOf<typeof wasmPluginSchema>;

const wasmConfigSchema = obj(module);
export type WasmConfig = StaticOf<typeof wasmConfigSchema>;

export const trafficExtensionSchema = obj(
	{
		selector: opt(matchLabelsSelectorSchema),
		targetRefs: opt(list(targetRefSchema)),
		phase: opt(oneOf(["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"])),
		...place,
		wasm: opt(wasmConfigSchema),
		lua: opt(obj({ inlineCode: text() })),
	},
	{ "x-weft-one-of": [["wasm", "lua"]] },
);
export type TrafficExtensionSpec = StaticOf<typeof trafficExtensionSchema>;
