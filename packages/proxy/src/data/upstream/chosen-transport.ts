import type { UpstreamTransport } from "../../config/clusters.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import type { ConnectionInfo, UpstreamSource } from "../log/stream-info.ts";
import type { Connection } from "../transport/connection.ts";
import { buildProxyHeader, chooseTlvs } from "./proxy-protocol-header.ts";

export type ConnectResult = (result: Connection | Error) => void;

/** One way to reach a host: plain, or TLS with a given server name. Pools are kept per way. */
export interface ChosenTransport {
	readonly key: string;
	readonly isTls: boolean;
	/** Secrets have changed since: finish what runs, reuse nothing. */
	readonly isStale: boolean;
	/** Calls back once; gives a function that gives up. */
	connect(host: HostEntry, onResult: ConnectResult, personal?: Personal): () => void;
}

/** What makes a connection one client's own. */
export interface Personal {
	readonly source: UpstreamSource | undefined;
	/** Written before anything else. */
	readonly header: Buffer | undefined;
}

/** The same way from one client's address: a way of its own, so that no pool is shared with another client. */
export function fromSource(way: ChosenTransport, source: UpstreamSource): ChosenTransport {
	return {
		key: `${way.key} from ${source.address} ${source.mark}`,
		isTls: way.isTls,
		get isStale() {
			return way.isStale;
		},
		connect: (host, onResult) => way.connect(host, onResult, { source, header: undefined }),
	};
}

/** The same way with the client's name at its beginning: likewise nobody else's. */
export function named(
	way: ChosenTransport,
	version: "v1" | "v2",
	{ addedTlvs = [], passedTlvs }: UpstreamTransport,
	downstream: ConnectionInfo | undefined,
): ChosenTransport {
	const addresses = downstream && { source: downstream.remoteAddress, destination: downstream.localAddress };
	const source = downstream?.upstreamSource;
	const passed = passedTlvs === undefined || downstream === undefined ? [] : chooseTlvs(downstream.proxyTlvs, passedTlvs);
	const values = passed.map(({ type, value }) => `${type}=${value.toString("base64")}`).join();
	const tlvs = [...addedTlvs, ...passed.filter(({ type }) => !addedTlvs.some((own) => own.type === type))];
	return {
		key: `${way.key} for ${addresses?.source ?? ""} ${addresses?.destination ?? ""} ${source?.mark ?? ""} ${values}`,
		isTls: way.isTls,
		get isStale() {
			return way.isStale;
		},
		connect: (host, onResult) => way.connect(host, onResult, { source, header: buildProxyHeader(version, addresses, tlvs) }),
	};
}
