import type { Cluster } from "../../config/clusters.ts";
import type { SocketAddress } from "../../config/sockets.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import type { ConnectOptions } from "../transport/connection.ts";
import { sourceOptions } from "../transport/socket-options.ts";
import type { ChosenTransport, ConnectResult, Personal } from "./chosen-transport.ts";
import type { WorkerContext } from "../worker/context.ts";

export function createPlain(config: Cluster, context: WorkerContext): ChosenTransport {
	return {
		key: "",
		isTls: false,
		isStale: false,
		connect: (host, onResult, personal) => openTo(context, connectOptions(config, host, personal), personal?.header, onResult),
	};
}

/** Connects, and writes the header where there is one. */
export function openTo(context: WorkerContext, options: ConnectOptions, header: Buffer | undefined, onResult: ConnectResult): () => void {
	return context.transport.connect(options, (result) => {
		if (header !== undefined && !(result instanceof Error)) result.write(header);
		onResult(result);
	});
}

export function connectOptions(config: Cluster, host: HostEntry, personal: Personal | undefined): ConnectOptions {
	const { address } = host.host;
	const source = personal?.source;
	const keepaliveSeconds = config.tcpKeepalive?.timeSeconds;
	if (source !== undefined && address.kind === "ip" && address.address.includes(":") === source.address.includes(":"))
		return { address, bindAddress: source.address, keepaliveSeconds, socketOptions: sourceOptions(source.mark) };
	return { address, bindAddress: bindAddressFor(config.bindAddresses, address), keepaliveSeconds, socketOptions: config.socketOptions };
}

function bindAddressFor(addresses: readonly string[], to: SocketAddress): string {
	const [first = ""] = addresses;
	if (addresses.length < 2 || to.kind === "pipe") return first;
	return addresses.find((address) => address.includes(":") === to.address.includes(":")) ?? first;
}
