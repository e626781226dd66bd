import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { packAny, registerMessages } from "./any.ts";
import { Cluster } from "./generated/envoy/config/cluster/v3/cluster.ts";
import { Listener } from "./generated/envoy/config/listener/v3/listener.ts";
import { RouteConfiguration } from "./generated/envoy/config/route/v3/route.ts";
import { TcpProxy } from "./generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import { validateConstraints } from "./validate.ts";

const tcpProxyType = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

const cluster = (fields: object) => validateConstraints("envoy.config.cluster.v3.Cluster", Cluster.fromPartial(fields));
const routes = (fields: object) => validateConstraints("envoy.config.route.v3.RouteConfiguration", RouteConfiguration.fromPartial(fields));

describe("constraints of Envoy's messages", () => {
	before(() => registerMessages({ [tcpProxyType]: TcpProxy }));

	it("finds nothing in a sound message", () => {
		assert.deepEqual(cluster({ name: "a", connectTimeout: { seconds: 1n, nanos: 0 } }), []);
	});

	it("lists every violation with its path", () => {
		assert.deepEqual(cluster({ connectTimeout: { seconds: 0n, nanos: 0 }, outlierDetection: { maxEjectionPercent: 101 } }), [
			"ClusterValidationError.name: value length must be at least 1 characters",
			"ClusterValidationError.connectTimeout: value must be greater than 0s",
			"OutlierDetectionValidationError.outlierDetection.maxEjectionPercent: value must be less than or equal to 100",
		]);
	});

	it("needs one member of a required oneof, and leaves the others alone", () => {
		const route = (fields: object) => routes({ virtualHosts: [{ name: "v", domains: ["*"], routes: [fields] }] });
		assert.deepEqual(route({ match: { prefix: "/" }, route: { cluster: "a" } }), []);
		assert.deepEqual(route({ match: { prefix: "/" } }), ["RouteValidationError.virtualHosts[0].routes[0].Action: value is required"]);
	});

	it("checks lists and their items", () => {
		assert.deepEqual(routes({ virtualHosts: [{ name: "v" }] }), ["VirtualHostValidationError.virtualHosts[0].domains: value must contain at least 1 item(s)"]);
		assert.deepEqual(routes({ internalOnlyHeaders: ["a\nb"] }), [
			"RouteConfigurationValidationError.internalOnlyHeaders[0]: value is not a valid HTTP header name",
		]);
	});

	it("looks into Any", () => {
		const typedConfig = packAny(tcpProxyType, TcpProxy, TcpProxy.fromPartial({ cluster: "a" }));
		const listener = Listener.fromPartial({ filterChains: [{ filters: [{ name: "tcp", typedConfig }] }] });
		assert.deepEqual(validateConstraints("envoy.config.listener.v3.Listener", listener), [
			"TcpProxyValidationError.filterChains[0].filters[0].typedConfig.statPrefix: value length must be at least 1 characters",
		]);
	});

	it("refuses fields of Envoy that the messages lack by name, at any depth, and passes over what Envoy does not know either", () => {
		const typedConfig = packAny(tcpProxyType, TcpProxy, TcpProxy.fromPartial({ statPrefix: "t", cluster: "a" }));
		// Of the proxy the field 24, check_drain_close, of the listener 38, per_connection_buffer_high_watermark_timeout, and 999.
		const value = Buffer.concat([typedConfig.value, Buffer.from([0xc2, 0x01, 0x00])]);
		const bytes = Listener.encode(Listener.fromPartial({ filterChains: [{ filters: [{ name: "tcp", typedConfig: { ...typedConfig, value } }] }] })).finish();
		const listener = Listener.decode(Buffer.concat([bytes, Buffer.from([0xb2, 0x02, 0x00]), Buffer.from([0xba, 0x3e, 0x00])]));
		assert.deepEqual(validateConstraints("envoy.config.listener.v3.Listener", listener), [
			"perConnectionBufferHighWatermarkTimeout: per_connection_buffer_high_watermark_timeout is not implemented",
			"filterChains[0].filters[0].typedConfig.checkDrainClose: check_drain_close is not implemented",
		]);
	});

	it("takes a number of the runtime that has no key, as Envoy does", () => {
		const bias = { defaultValue: 1, runtimeKey: "" };
		assert.deepEqual(cluster({ name: "a", leastRequestLbConfig: { activeRequestBias: bias } }), []);
	});

	it("refuses negative durations, of which no rule speaks", () => {
		assert.deepEqual(cluster({ name: "a", commonHttpProtocolOptions: { idleTimeout: { seconds: -1n, nanos: 0 } } }), [
			"commonHttpProtocolOptions.idleTimeout: Invalid duration: Expected positive duration",
		]);
	});

	it("refuses enum values that do not exist", () => {
		assert.deepEqual(cluster({ name: "a", lbPolicy: 77 }), ["ClusterValidationError.lbPolicy: value must be one of the defined enum values"]);
	});
});
