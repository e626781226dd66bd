import { isIPv4, isIPv6 } from "node:net";
import type { StringMap } from "./json.ts";
import { canonicalQuantity } from "./pod/quantity.ts";
import { decodeProxyConfigAnnotation } from "./proxy-config.ts";

type Check = (value: string) => string | undefined;

/** https://istio.io/latest/docs/reference/config/annotations/: those whose value could break a pod. Messages are Istio's. */
const checks: Readonly<Record<string, Check>> = {
	"sidecar.istio.io/interceptionMode": (value) =>
		["REDIRECT", "TPROXY", "NONE"].includes(value) ? undefined : `interceptionMode invalid, use REDIRECT,TPROXY,NONE: ${value}`,
	"status.sidecar.istio.io/port": (value) => prefixed("excludeInboundPorts invalid", portProblem(value)),
	"readiness.status.sidecar.istio.io/initialDelaySeconds": (value) => uintProblem(value, 32),
	"readiness.status.sidecar.istio.io/periodSeconds": (value) => uintProblem(value, 32),
	"readiness.status.sidecar.istio.io/failureThreshold": (value) => uintProblem(value, 32),
	"traffic.sidecar.istio.io/includeOutboundIPRanges": (value) => (value === "*" ? undefined : prefixed("includeIPRanges invalid", rangesProblem(value))),
	"traffic.sidecar.istio.io/excludeOutboundIPRanges": (value) => prefixed("excludeIPRanges invalid", rangesProblem(value)),
	"traffic.sidecar.istio.io/includeInboundPorts": (value) => (value === "*" ? undefined : prefixed("includeInboundPorts invalid", portsProblem(value))),
	"traffic.sidecar.istio.io/excludeInboundPorts": (value) => prefixed("excludeInboundPorts invalid", portsProblem(value)),
	"traffic.sidecar.istio.io/includeOutboundPorts": (value) => prefixed("includeOutboundPorts invalid", portsProblem(value)),
	"traffic.sidecar.istio.io/excludeOutboundPorts": (value) => prefixed("excludeOutboundPorts invalid", portsProblem(value)),
	"traffic.sidecar.istio.io/excludeInterfaces": (value) => prefixed("excludeInterfaces invalid", interfacesProblem(value)),
	"traffic.sidecar.istio.io/kubevirtInterfaces": (value) => prefixed("kubevirtInterfaces invalid", interfacesProblem(value)),
	"istio.io/reroute-virtual-interfaces": (value) => prefixed("reroute-virtual-interfaces invalid", interfacesProblem(value)),
	"prometheus.istio.io/merge-metrics": (value) => (parseBool(value) === undefined ? `strconv.ParseBool: parsing ${quote(value)}: invalid syntax` : undefined),
	"sidecar.istio.io/proxyCPU": quantityProblem,
	"sidecar.istio.io/proxyMemory": quantityProblem,
	"sidecar.istio.io/proxyCPULimit": quantityProblem,
	"sidecar.istio.io/proxyMemoryLimit": quantityProblem,
	"proxy.istio.io/config": (value) => decodeProxyConfigAnnotation(value).error,
};

/** What is wrong with a pod's annotations, in one message; undefined if nothing is. */
export function validateAnnotations(annotations: StringMap): string | undefined {
	const errors = Object.keys(checks).flatMap((name) => {
		const value = Object.hasOwn(annotations, name) ? annotations[name] : undefined;
		const problem = value === undefined ? undefined : checks[name]?.(value);
		return problem === undefined ? [] : [`\t* invalid value '${value}' for annotation '${name}': ${problem}`];
	});
	if (errors.length === 0) return undefined;
	return `${errors.length === 1 ? "1 error" : `${errors.length} errors`} occurred:\n${errors.join("\n")}\n\n`;
}

/** As Go's strconv.ParseBool. */
export function parseBool(text: string): boolean | undefined {
	if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
	return ["0", "f", "F", "false", "FALSE", "False"].includes(text) ? false : undefined;
}

const prefixed = (prefix: string, problem: string | undefined): string | undefined => (problem === undefined ? undefined : `${prefix}: ${problem}`);
const quote = (text: string): string => JSON.stringify(text);

/** In the words of Kubernetes' own parser. */
function quantityProblem(text: string): string | undefined {
	if (canonicalQuantity(text) !== undefined) return undefined;
	const form = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";
	return new RegExp(form).test(text) ? "unable to parse quantity's suffix" : `quantities must match the regular expression '${form}'`;
}

function uintProblem(text: string, bits: number): string | undefined {
	if (!/^\d+$/.test(text)) return `strconv.ParseUint: parsing ${quote(text)}: invalid syntax`;
	return BigInt(text) >= 1n << BigInt(bits) ? `strconv.ParseUint: parsing ${quote(text)}: value out of range` : undefined;
}

function portProblem(text: string): string | undefined {
	return prefixed(`failed parsing port '${text}'`, uintProblem(text.trim(), 16));
}

function portsProblem(text: string): string | undefined {
	if (text.trim() === "") return undefined;
	for (const port of text.trim().split(",")) {
		const problem = prefixed(`failed parsing port '${port}'`, portProblem(port));
		if (problem !== undefined) return problem;
	}
	return undefined;
}

function rangesProblem(text: string): string | undefined {
	if (text === "") return undefined;
	for (const range of text.split(",")) {
		const problem = prefixed(`failed parsing cidr '${range}'`, prefixed(`netip.ParsePrefix(${quote(range)})`, prefixProblem(range)));
		if (problem !== undefined) return problem;
	}
	return undefined;
}

function prefixProblem(range: string): string | undefined {
	const slash = range.lastIndexOf("/");
	if (slash < 0) return "no '/'";
	const [address, bits] = [range.slice(0, slash), range.slice(slash + 1)];
	const family = isIPv4(address) ? 4 : isIPv6(address) ? 6 : undefined;
	if (family === undefined) return `ParseAddr(${quote(address)}): unable to parse IP`;
	if (address.includes("%")) return "IPv6 zones cannot be present in a prefix";
	if (!/^(0|[1-9]\d*)$/.test(bits)) return `bad bits after slash: ${quote(bits)}`;
	return Number(bits) > (family === 4 ? 32 : 128) ? "prefix length out of range" : undefined;
}

/** Names that Linux allows and that iptables takes for nothing else. */
function interfacesProblem(text: string): string | undefined {
	const bad = text
		.split(",")
		.map((name) => name.trim())
		.find((name) => name !== "" && !/^[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,14}$/.test(name));
	return bad === undefined ? undefined : `'${bad}' is not the name of a network interface`;
}
