import assert from "node:assert/strict";
import { test } from "node:test";
import { bySpecificity, hostCovers, hostsOverlap, resolveHost } from "./hosts.ts";
import { declaredProtocol, kubernetesProtocol } from "./protocol.ts";
import { isVisible } from "./visibility.ts";

const resolved: readonly (readonly [host: string, full: string])[] = [
	["reviews", "reviews.default.svc.cluster.local"],
	["reviews.foo", "reviews.foo"],
	["*.example.com", "*.example.com"],
	["*", "*"],
	["10.0.0.1", "10.0.0.1"],
	["2001:db8::1", "2001:db8::1"],
];
for (const [host, full] of resolved) {
	test(`host ${host} is read as ${full}`, () => assert.equal(resolveHost(host, "default", "cluster.local"), full));
}

const covered: readonly (readonly [pattern: string, host: string, covers: boolean, overlaps: boolean])[] = [
	["*", "a.b", true, true],
	["a.b", "a.b", true, true],
	["a.b", "a.c", false, false],
	["*.b", "a.b", true, true],
	["*.b", "x.a.b", true, true],
	["*.b", "b", false, false],
	["*.b", "*.a.b", true, true],
	["*.a.b", "*.b", false, true],
	["a.b", "*.b", false, true],
];
for (const [pattern, host, covers, overlaps] of covered) {
	test(`${pattern} ${covers ? "covers" : "does not cover"} ${host}, and they ${overlaps ? "overlap" : "do not overlap"}`, () => {
		assert.equal(hostCovers(pattern, host), covers);
		assert.equal(hostsOverlap(pattern, host), overlaps);
	});
}

test("the longer wildcard is the more specific one", () => {
	assert.deepEqual(["*", "*.b", "*.a.b", "*.c"].sort(bySpecificity), ["*.a.b", "*.b", "*.c", "*"]);
});

const ports: readonly (readonly [port: number, name: string, appProtocol: string | undefined, protocol: string])[] = [
	[80, "http", undefined, "HTTP"],
	[80, "http-web", undefined, "HTTP"],
	[80, "HTTP-web", undefined, "HTTP"],
	[80, "http2", undefined, "HTTP2"],
	[80, "grpc-web-x", undefined, "GRPC-Web"],
	[80, "grpc-website", undefined, "GRPC-Web"],
	[80, "https", undefined, "HTTPS"],
	[80, "web", undefined, "Auto"],
	[80, "", undefined, "Auto"],
	[3306, "db", undefined, "TCP"],
	[80, "tcp", "http", "HTTP"],
	[80, "http", "example.com/own", "Auto"],
	[80, "web", "kubernetes.io/h2c", "HTTP2"],
	[80, "web", "kubernetes.io/wss", "HTTPS"],
];
for (const [port, name, appProtocol, protocol] of ports) {
	test(`port ${port} named "${name}" with appProtocol ${appProtocol ?? "unset"} speaks ${protocol}`, () => {
		assert.equal(kubernetesProtocol(port, name, "TCP", appProtocol), protocol);
	});
}

test("a UDP port is UDP whatever its name", () => assert.equal(kubernetesProtocol(53, "http", "UDP", undefined), "UDP"));
test("a ServiceEntry's port has the protocol that it says, in any case", () => assert.equal(declaredProtocol("tcp"), "TCP"));
test("a ServiceEntry's port that says no protocol is sniffed", () => assert.equal(declaredProtocol(undefined), "Auto"));

const visible: readonly (readonly [exportTo: readonly string[], namespace: string, visible: boolean])[] = [
	[[], "bar", true],
	[["*"], "bar", true],
	[["."], "foo", true],
	[["."], "bar", false],
	[["~"], "foo", false],
	[["bar", "baz"], "bar", true],
	[["bar", "baz"], "foo", false],
];
for (const [exportTo, namespace, expected] of visible) {
	test(`exportTo [${exportTo}] of foo ${expected ? "shows" : "hides"} it to ${namespace}`, () => {
		assert.equal(isVisible(exportTo, "foo", namespace), expected);
	});
}
