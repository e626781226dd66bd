import { extension, fileLog, listener } from "./config.ts";

type Json = Readonly<Record<string, unknown>>;

/** `filter_chain_match` as JSON. */
export interface ChainMatch {
	readonly destination_port?: number;
	readonly prefix_ranges?: readonly Range[];
	readonly server_names?: readonly string[];
	readonly transport_protocol?: string;
	readonly application_protocols?: readonly string[];
	readonly direct_source_prefix_ranges?: readonly Range[];
	readonly source_type?: string;
	readonly source_prefix_ranges?: readonly Range[];
	readonly source_ports?: readonly number[];
}

interface Range {
	readonly address_prefix: string;
	readonly prefix_len: number;
}

/** Chains of one listener; each answers with its name. */
export interface ChainCase {
	readonly chains: Readonly<Record<string, ChainMatch>>;
	readonly hasDefault?: boolean;
	/** Beside the PROXY protocol, which tells where a connection is from and where it goes. */
	readonly inspectors?: readonly ("tls" | "http")[];
	readonly more?: Json;
}

const range = (text: string): Range => ({ address_prefix: text.slice(0, text.indexOf("/")), prefix_len: Number(text.slice(text.indexOf("/") + 1)) });
const prefix_ranges = (...ranges: readonly string[]): ChainMatch => ({ prefix_ranges: ranges.map(range) });
const source = (...ranges: readonly string[]): ChainMatch => ({ source_prefix_ranges: ranges.map(range) });
const names = (...server_names: readonly string[]): ChainMatch => ({ server_names });
const protocols = (...application_protocols: readonly string[]): ChainMatch => ({ application_protocols });

export const chainCases: Readonly<Record<string, ChainCase>> = {
	"no match": { chains: { other: { destination_port: 1 } } },
	default: { chains: { other: { destination_port: 1 } }, hasDefault: true },
	"destination port": { chains: { p80: { destination_port: 80 }, p443: { destination_port: 443 }, any: {} } },
	"a port's subtree has no way back": { chains: { p80: { destination_port: 80, ...names("a.test") }, any: {} }, hasDefault: true },
	prefixes: {
		chains: {
			ten: prefix_ranges("10.0.0.0/8"),
			"ten-one": prefix_ranges("10.1.0.0/16"),
			host: prefix_ranges("10.1.2.3/32"),
			six: prefix_ranges("2001:db8::/32"),
			// Not 0.0.0.0/0: beside a chain without ranges it is the same, and which of the two Envoy takes is luck.
			half: prefix_ranges("0.0.0.0/1"),
			any: {},
		},
	},
	"several prefixes": { chains: { two: prefix_ranges("10.2.0.0/16", "10.1.0.0/16"), one: prefix_ranges("10.0.0.0/8") }, hasDefault: true },
	"server names": {
		chains: {
			exact: names("a.b.test"),
			wild: names("*.b.test"),
			"wild-short": names("*.test"),
			single: names("localhost"),
			none: {},
		},
	},
	"server names in capitals": { chains: { capital: names("upper.test"), two: names("x.test", "y.test") }, hasDefault: true },
	"transport protocols": { chains: { tls: { transport_protocol: "tls" }, raw: { transport_protocol: "raw_buffer" } } },
	"only TLS": { chains: { tls: { transport_protocol: "tls" } } },
	"application protocols": {
		chains: { h2: protocols("h2"), http1: protocols("http/1.1", "http/1.0"), h2c: protocols("h2c"), istio: protocols("istio", "istio-h2"), none: {} },
	},
	"application protocols without a way back": {
		chains: { both: { transport_protocol: "tls", ...protocols("h2") }, plain: protocols("http/1.1") },
		hasDefault: true,
	},
	"as Istio's inbound": {
		chains: {
			"mtls-http": { destination_port: 80, transport_protocol: "tls", ...protocols("istio-http/1.0", "istio-http/1.1", "istio-h2") },
			"plain-http": { destination_port: 80, transport_protocol: "raw_buffer", ...protocols("http/1.0", "http/1.1", "h2c") },
			mtls: { destination_port: 80, transport_protocol: "tls", ...protocols("istio", "istio-peer-exchange") },
			tls: { destination_port: 80, transport_protocol: "tls" },
			plain: { destination_port: 80, transport_protocol: "raw_buffer" },
			"any-tls": { transport_protocol: "tls" },
			any: {},
		},
	},
	"source types": { chains: { local: { source_type: "SAME_IP_OR_LOOPBACK" }, external: { source_type: "EXTERNAL" } } },
	"one source type": { chains: { local: { source_type: "SAME_IP_OR_LOOPBACK" }, any: {} } },
	"source prefixes": { chains: { net: source("192.0.2.0/24"), host: source("192.0.2.7/32"), six: source("2001:db8::/32"), any: {} } },
	"source ports": { chains: { port: { source_ports: [1234, 1235] }, any: {} } },
	"source ports behind prefixes": {
		chains: { net: { ...source("192.0.2.0/24"), source_ports: [1234] }, wide: { ...source("192.0.0.0/16") } },
		hasDefault: true,
	},
	"direct sources": {
		chains: { local: { direct_source_prefix_ranges: [range("127.0.0.0/8")] }, far: { direct_source_prefix_ranges: [range("192.0.2.0/24")] }, any: {} },
	},
	"all at once": {
		chains: {
			all: {
				destination_port: 443,
				...prefix_ranges("10.0.0.0/8"),
				...names("a.b.test"),
				transport_protocol: "tls",
				...protocols("h2"),
				direct_source_prefix_ranges: [range("127.0.0.0/8")],
				source_type: "EXTERNAL",
				...source("192.0.2.0/24"),
				source_ports: [1234],
			},
			most: { destination_port: 443, ...prefix_ranges("10.0.0.0/8"), ...names("a.b.test"), transport_protocol: "tls" },
			port: { destination_port: 443 },
		},
		hasDefault: true,
	},
	"without inspectors": { chains: { tls: protocols("h2"), any: {} }, inspectors: [] },
	"HTTP inspector alone": { chains: { http1: protocols("http/1.1", "http/1.0"), h2c: protocols("h2c"), h2: protocols("h2"), none: {} }, inspectors: ["http"] },
	"TLS inspector alone": { chains: { http1: protocols("http/1.1", "http/1.0"), h2: protocols("h2"), none: {} }, inspectors: ["tls"] },
	"inspectors the other way round": {
		chains: { http1: protocols("http/1.1"), h2: protocols("h2"), tls: { transport_protocol: "tls" }, none: {} },
		inspectors: ["http", "tls"],
	},
};

const quietChains: ChainCase["chains"] = { tls: { transport_protocol: "tls" }, http: protocols("http/1.1"), none: {} };

/** For clients that say nothing, or not all. */
export const quietCases: Readonly<Record<string, ChainCase>> = {
	"silence ends": { chains: quietChains, more: { listener_filters_timeout: "0.3s" } },
	"silence goes on": { chains: quietChains, more: { listener_filters_timeout: "0.3s", continue_on_listener_filters_timeout: true } },
	"silence goes on, TLS inspector alone": {
		chains: quietChains,
		inspectors: ["tls"],
		more: { listener_filters_timeout: "0.3s", continue_on_listener_filters_timeout: true },
	},
};

/** A small congruential generator: the same cases every time. */
export function random(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		return state / 0x1_0000_0000;
	};
}

/** Chains of any fields, without two that match the same: those are refused. */
export function generateChains(seed: number, count: number): ChainCase {
	const draw = random(seed);
	const pick = <T>(values: readonly T[]) => values[Math.floor(draw() * values.length)] as T;
	const some = <T>(values: readonly T[]) => [...new Set([pick(values), pick(values)])];
	const maybe = (share: number, fields: () => ChainMatch): ChainMatch => (draw() < share ? fields() : {});
	const chains: Record<string, ChainMatch> = {};
	const taken = new Set<string>();
	for (let i = 0; i < count; i++) {
		const match: ChainMatch = {
			...maybe(0.3, () => ({ destination_port: pick([80, 443]) })),
			...maybe(0.4, () => prefix_ranges(...some(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/1"]))),
			...maybe(0.4, () => names(...some(["a.b.test", "*.b.test", "*.test", "c.test"]))),
			...maybe(0.3, () => ({ transport_protocol: pick(["tls", "raw_buffer"]) })),
			...maybe(0.3, () => protocols(...some(["h2", "http/1.1", "h2c", "istio"]))),
			...maybe(0.2, () => ({ direct_source_prefix_ranges: some(["127.0.0.0/8", "127.0.0.1/32", "192.0.2.0/24"]).map(range) })),
			...maybe(0.3, () => ({ source_type: pick(["SAME_IP_OR_LOOPBACK", "EXTERNAL"]) })),
			...maybe(0.3, () => source(...some(["192.0.2.0/24", "192.0.2.7/32", "10.0.0.0/8"]))),
			...maybe(0.2, () => ({ source_ports: some([1234, 1235]) })),
		};
		const keys = keysOf(match);
		if (keys.some((key) => taken.has(key))) continue;
		for (const key of keys) taken.add(key);
		chains[`chain-${i}`] = match;
	}
	return { chains, hasDefault: draw() < 0.5 };
}

/** All combinations of single values that a chain stands for. */
function keysOf(match: ChainMatch): readonly string[] {
	const one = (value: unknown) => [JSON.stringify(value ?? null)];
	const each = (values: readonly unknown[] = []) => (values.length === 0 ? one(undefined) : values.map((value) => JSON.stringify(value)));
	const levels = [
		one(match.destination_port),
		each(match.prefix_ranges),
		each(match.server_names),
		one(match.transport_protocol),
		each(match.application_protocols),
		each(match.direct_source_prefix_ranges),
		one(match.source_type),
		each(match.source_prefix_ranges),
		each(match.source_ports),
	];
	return levels.reduce<readonly string[]>((so, values) => so.flatMap((key) => values.map((value) => `${key}|${value}`)), [""]);
}

const inspector = {
	tls: extension("envoy.filters.listener.tls_inspector", "extensions.filters.listener.tls_inspector.v3.TlsInspector"),
	http: extension("envoy.filters.listener.http_inspector", "extensions.filters.listener.http_inspector.v3.HttpInspector"),
};
const proxyProtocol = extension("envoy.filters.listener.proxy_protocol", "extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", {
	allow_requests_without_proxy_protocol: true,
});

/** The listener of a case: each chain sends its name and ends. */
export function chainListener(name: string, { chains, hasDefault = false, inspectors = ["tls", "http"], more = {} }: ChainCase, accessLog: string): object {
	const answer = (text: string) => ({
		filters: [
			extension("envoy.filters.network.direct_response", "extensions.filters.network.direct_response.v3.Config", { response: { inline_string: text } }),
		],
	});
	const log = fileLog(accessLog, {
		listener: name,
		chain: "%FILTER_CHAIN_NAME%",
		name: "%REQUESTED_SERVER_NAME%",
		flags: "%RESPONSE_FLAGS%",
		details: "%RESPONSE_CODE_DETAILS%",
		from: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
		to: "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
		sent: "%BYTES_SENT%",
	});
	const { filter_chains: _, ...base } = listener(name, []) as Json;
	return {
		...base,
		stat_prefix: name,
		access_log: [log],
		listener_filters: [proxyProtocol, ...inspectors.map((one) => inspector[one])],
		filter_chains: Object.entries(chains).map(([chain, match]) => ({ name: chain, filter_chain_match: match, ...answer(`<${chain}>`) })),
		...(hasDefault && { default_filter_chain: { name: "the-default", ...answer("<the-default>") } }),
		...more,
	};
}
