import { isIP } from "node:net";
import { quote } from "./suggestion.ts";

const label = /^[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?$/;
const wildcardLabel = /^(?:\*|(?:\*-?)?[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?)$/;
const labelValue = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;
const labelName = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const httpToken = /^:?[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** RFC 1123 label, as Kubernetes and Istio read it (capitals allowed by Istio). */
export const isDnsLabel = (text: string): boolean => text.length <= 63 && label.test(text);

/** RFC 1123 subdomain in lower case: the names of Kubernetes objects. */
export const isDnsSubdomain = (text: string): boolean => text.length <= 253 && text === text.toLowerCase() && text.split(".").every((part) => isDnsLabel(part));

export const isIpAddress = (text: string): boolean => isIP(text) !== 0;

/** `10.0.0.0/8`, or a bare address. */
export function isSubnet(text: string): boolean {
	const [address = "", length, extra] = text.split("/");
	if (extra !== undefined) return false;
	const family = isIP(address);
	if (family === 0) return false;
	return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128));
}

/** Why `host` is no fully qualified name, or undefined. A trailing dot is allowed. */
export function fqdnProblem(host: string): string | undefined {
	return domainProblem(host, (first) => isDnsLabel(first));
}

/** The same, with `*`, `*.example.com` or `*-a.example.com` allowed in the first label. */
export function wildcardDomainProblem(host: string): string | undefined {
	return domainProblem(host, (first) => first.length <= 63 && wildcardLabel.test(first));
}

function domainProblem(host: string, firstFits: (first: string) => boolean): string | undefined {
	if (host === "") return "the host is empty; write a DNS name";
	if (host.length > 255) return `the host ${quote(host)} is longer than 255 characters`;
	const parts = host.endsWith(".") ? host.slice(0, -1).split(".") : host.split(".");
	const bad = parts.find((part, index) => (index === 0 ? !firstFits(part) : !isDnsLabel(part)));
	if (bad !== undefined) return `${quote(host)} is no valid host: the label ${quote(bad)} is not valid in a DNS name`;
	const last = parts.at(-1) ?? "";
	return parts.length > 1 && /^\d+$/.test(last) ? `${quote(host)} is no valid host: its last label is a number` : undefined;
}

/** `*.a.com` covers `b.a.com` and `*.b.a.com`; `*` covers all. As Istio's host.Name.Matches, in both directions. */
export function hostsOverlap(a: string, b: string): boolean {
	const aWild = a.startsWith("*");
	const bWild = b.startsWith("*");
	if (aWild && bWild) return a.length < b.length ? b.endsWith(a.slice(1)) : a.endsWith(b.slice(1));
	if (aWild) return b.endsWith(a.slice(1));
	if (bWild) return a.endsWith(b.slice(1));
	return a === b;
}

export function labelProblem(key: string, value: string): string | undefined {
	const slash = key.indexOf("/");
	const prefix = slash < 0 ? undefined : key.slice(0, slash);
	const name = slash < 0 ? key : key.slice(slash + 1);
	if (prefix !== undefined && !isDnsSubdomain(prefix)) return `the label key ${quote(key)} has no valid prefix; write example.com/name`;
	if (name.length > 63 || !labelName.test(name)) return `${quote(key)} is no valid label key`;
	if (value.length > 63 || !labelValue.test(value)) return `${quote(value)} is no valid value for the label ${quote(key)}`;
	return undefined;
}

/** What follows `unix://`: an absolute path of a file, or `@` and an abstract name. */
export const isSocketPath = (path: string): boolean => path.startsWith("@") || (path.startsWith("/") && !path.endsWith("/"));

export const isHttpHeaderName = (text: string): boolean => httpToken.test(text);

export const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65_535;
