import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { fromJson } from "@weft/xds";
import type { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { decodeCluster, decodeListener, registerImplemented } from "./index.ts";

const environment = { readFile: () => Buffer.alloc(0), variable: () => undefined };
const typed = (name: string, type: string, config: object = {}) => ({ name, typedConfig: { "@type": `type.googleapis.com/${type}`, ...config } });
const echo = typed("echo", "envoy.extensions.filters.network.echo.v3.Echo");
const filters = "envoy.extensions.filters.listener";

const listener = (parts: object) =>
	decodeListener(
		fromJson("envoy.config.listener.v3.Listener", {
			name: "l",
			address: { socketAddress: { address: "0.0.0.0", portValue: 80 } },
			filterChains: [{ filters: [echo] }],
			...parts,
		}) as Listener,
		environment,
	);
const cluster = (parts: object) => decodeCluster(fromJson("envoy.config.cluster.v3.Cluster", { name: "a", ...parts }) as Cluster, environment);
const int = (value: number) => new Uint8Array(new Int32Array([value]).buffer);

before(registerImplemented);

describe("a listener's sockets", () => {
	it("none of their own", () => assert.equal(listener({}).value?.socketOptions, undefined));

	it("transparent, freebind and options in their states", () => {
		const socketOptions = [
			{ level: "1", name: "36", intValue: "1337" },
			{ level: "6", name: "23", bufValue: Buffer.from([1, 2]).toString("base64"), state: "STATE_LISTENING" },
		];
		const options = listener({ transparent: true, freebind: true, socketOptions }).value?.socketOptions;
		assert.equal(options?.transparent, true);
		assert.equal(options?.freebind, true);
		assert.deepEqual(
			options?.custom.map(({ level, name, value, state }) => [level, name, [...value], state]),
			[
				[1, 36, [...int(1337)], "prebind"],
				[6, 23, [1, 2], "listening"],
			],
		);
	});

	it("use_original_dst restores the destination by itself", () => {
		assert.deepEqual(
			[
				listener({ useOriginalDst: true }).value?.originalDst,
				listener({}).value?.originalDst,
				listener({ listenerFilters: [typed("o", `${filters}.original_dst.v3.OriginalDst`)] }).value?.originalDst,
			],
			[true, false, true],
		);
	});

	it("original_src, with its mark", () => {
		assert.deepEqual(listener({ listenerFilters: [typed("o", `${filters}.original_src.v3.OriginalSrc`, { mark: 1337 })] }).value?.originalSrc, { mark: 1337 });
		const { errors } = listener({ listenerFilters: [typed("o", `${filters}.original_src.v3.OriginalSrc`, { bindPort: true })] });
		assert.match(errors.join(), /listenerFilters\[0\]\.bindPort: .*not implemented/);
	});

	it("the PROXY protocol's options", () => {
		const of = (config: object) => listener({ listenerFilters: [typed("p", `${filters}.proxy_protocol.v3.ProxyProtocol`, config)] });
		assert.deepEqual(of({}).value?.proxyProtocol, {
			allowWithout: false,
			versions: ["v1", "v2"],
			keptTlvs: undefined,
			tlvMetadata: [],
		});
		assert.deepEqual(of({ allowRequestsWithoutProxyProtocol: true, disallowedVersions: ["V1"] }).value?.proxyProtocol, {
			allowWithout: true,
			versions: ["v2"],
			keptTlvs: undefined,
			tlvMetadata: [],
		});
		const namespace = "envoy.filters.listener.proxy_protocol";
		const withTlvs = of({ rules: [{ tlvType: 1, onTlvPresent: { key: "a" } }], passThroughTlvs: { matchType: "INCLUDE", tlvType: [5] } }).value?.proxyProtocol;
		assert.deepEqual([withTlvs?.keptTlvs, withTlvs?.tlvMetadata], [[5], [{ type: 1, namespace, key: "a" }]]);
		assert.equal(of({ passThroughTlvs: {} }).value?.proxyProtocol?.keptTlvs, "all");
	});
});

describe("a cluster's sockets", () => {
	it("source addresses of both families, and options", () => {
		const upstreamBindConfig = {
			sourceAddress: { address: "127.0.0.6", portValue: 0 },
			extraSourceAddresses: [{ address: { address: "::6", portValue: 0 } }],
			socketOptions: [{ level: "0", name: "1", intValue: "16" }],
		};
		const value = cluster({ upstreamBindConfig }).value?.cluster;
		assert.deepEqual(value?.bindAddresses, ["127.0.0.6", "::6"]);
		assert.deepEqual(
			value?.socketOptions?.custom.map(({ level, name }) => [level, name]),
			[[0, 1]],
		);
	});

	it("a header of the PROXY protocol before whatever it wraps", () => {
		const wrapped = (config: object, inner: object) =>
			cluster({
				transportSocket: typed("p", "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", { config, transportSocket: inner }),
			}).value?.cluster.transport;
		const raw = typed("r", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer");
		const tls = typed("t", "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", { sni: "a" });
		assert.deepEqual(wrapped({}, raw), { kind: "raw", proxyProtocol: "v1" });
		const secure = wrapped({ version: "V2" }, tls);
		assert.deepEqual([secure?.kind, secure?.proxyProtocol], ["tls", "v2"]);
	});
});
