import type { TrafficExtensionSpec, TrafficSelector, WasmConfig, WasmPluginSpec } from "../schema/proxy-extension.ts";
import type { Report } from "./report.ts";
import { checkPort } from "./rules-common.ts";
import { checkPolicyTarget } from "./rules-policy-target.ts";
import { isRecord } from "./schema-walk.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/

export function checkWasmPlugin(report: Report, spec: WasmPluginSpec): void {
	checkPolicyTarget(report, spec);
	checkModule(report, spec);
	checkMatch(report.at("match"), spec.match);
}

export function checkTrafficExtension(report: Report, spec: TrafficExtensionSpec): void {
	checkPolicyTarget(report, spec);
	if (!spec.wasm && !spec.lua) report.error("exactly one of wasm and lua must be set");
	if (spec.wasm) checkModule(report.at("wasm"), spec.wasm);
	if (spec.lua?.inlineCode === "") report.at("lua", "inlineCode").error("the code is empty");
	checkMatch(report.at("match"), spec.match);
}

const schemes = new Set(["oci:", "http:", "https:", "file:"]);

function checkModule(report: Report, { url, sha256 = "", vmConfig, pluginConfig, pluginName, imagePullSecret }: WasmConfig): void {
	if (pluginConfig !== undefined && !isRecord(pluginConfig)) report.at("pluginConfig").error("the module's configuration must be an object");
	if (pluginName === "") report.at("pluginName").error("the name is empty; leave it out to have the default");
	if (imagePullSecret === "") report.at("imagePullSecret").error("the Secret's name is empty; leave it out to have none");
	if (url === "") report.at("url").error("url must not be empty; write where the module is, like oci://registry.example/filter:v1");
	else {
		const parsed = URL.canParse(url) && /^[a-z]+:\/\//i.test(url) ? new URL(url) : undefined;
		if (parsed && !schemes.has(parsed.protocol)) report.at("url").error(`${quote(url)}: the scheme must be oci, http, https or file, or be left out`);
		if (!parsed && !URL.canParse(`oci://${url}`)) report.at("url").error(`${quote(url)} is no URL`);
		const digest = /@sha256:([^@]*)$/.exec(url)?.[1];
		if (digest !== undefined && sha256 !== "" && digest !== sha256) report.at("sha256").error("sha256 and the digest in the url differ; keep one");
	}
	if (sha256 !== "" && !/^[0-9a-f]{64}$/.test(sha256)) report.at("sha256").error(`${quote(sha256)} is no SHA-256; write 64 hexadecimal digits in lower case`);
	const names = new Set<string>();
	for (const [i, { name, valueFrom = "INLINE", value }] of (vmConfig?.env ?? []).entries()) {
		const at = report.at("vmConfig", "env", i);
		if (name === "") at.at("name").error("the environment variable has no name");
		else if (names.has(name)) at.at("name").error(`the environment variable ${quote(name)} is set twice`);
		names.add(name);
		if (valueFrom === "HOST" && value) at.at("value").error("value may only be set with valueFrom INLINE; remove one");
	}
}

function checkMatch(report: Report, match: readonly TrafficSelector[] | undefined): void {
	for (const [i, { ports }] of (match ?? []).entries()) {
		const numbers = (ports ?? []).map(({ number }) => number);
		const twice = numbers.findIndex((number, j) => numbers.indexOf(number) !== j);
		if (twice >= 0) report.at(i, "ports", twice).error(`the port ${numbers[twice]} stands there twice; remove one`);
		for (const [j, { number }] of (ports ?? []).entries()) checkPort(report.at(i, "ports", j, "number"), number);
	}
}
