import type { Inspected } from "./inspection.ts";
import { isLoopback, parseIp } from "../match/cidr.ts";
import type { ConnectionFacts } from "../match/filter-chain.ts";
import type { Connection } from "../transport/connection.ts";

/** What filter chains are chosen by. */
export function buildFacts(connection: Connection, inspected: Inspected): ConnectionFacts {
	const destinationAddress = inspected.destination?.address ?? connection.localAddress;
	const sourceAddress = inspected.source?.address ?? connection.remoteAddress;
	const sourceIp = parseIp(sourceAddress);
	return {
		destinationIp: parseIp(destinationAddress),
		destinationPort: inspected.destination?.port ?? connection.localPort,
		serverName: inspected.kind === "tls" ? inspected.serverName : "",
		transportProtocol: inspected.kind === "tls" ? "tls" : "raw_buffer",
		applicationProtocols: inspected.kind === "tls" ? inspected.alpn : inspected.protocol === "" ? [] : [inspected.protocol],
		directSourceIp: parseIp(connection.remoteAddress),
		sourceIp,
		sourcePort: inspected.source?.port ?? connection.remotePort,
		isLocalSource: sourceAddress === destinationAddress || (sourceIp !== undefined && isLoopback(sourceIp)),
	};
}
