import { parseIpPort } from "../lb/host-entry.ts";
import { type CidrRange, isLoopback, matchCidr, parseIp } from "../match/cidr.ts";
import type { HeadersEdit, HeadersView } from "./headers-view.ts";

/** Hop-by-hop request headers (RFC 9110 §7.6.1); those that `connection` names go too, see `removeHopByHop`. */
const hopByHop = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "x-envoy-internal"] as const;

/** Headers that steer this proxy: only internal callers may send them. */
const internalOnly = [
	"x-envoy-retriable-status-codes",
	"x-envoy-retriable-header-names",
	"x-envoy-retry-on",
	"x-envoy-retry-grpc-on",
	"x-envoy-max-retries",
	"x-envoy-upstream-alt-stat-name",
	"x-envoy-upstream-rq-timeout-ms",
	"x-envoy-upstream-rq-per-try-timeout-ms",
	"x-envoy-upstream-rq-timeout-alt-response",
	"x-envoy-upstream-stream-duration-ms",
	"x-envoy-expected-rq-timeout-ms",
	"x-envoy-force-trace",
	"x-envoy-ip-tags",
	"x-envoy-original-url",
	"x-envoy-hedge-on-per-try-timeout",
	"x-envoy-internal",
] as const;

/** In addition, for requests that enter the mesh here. */
const edgeOnly = ["x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node", "x-envoy-original-path"] as const;

/** What an external caller inside the mesh has no right to say; what one that enters the mesh here has none to. */
export const internalOnlyNames: ReadonlySet<string> = new Set(internalOnly);
export const edgeNames: ReadonlySet<string> = new Set([...internalOnly, ...edgeOnly]);

/** What the connection manager needs to know of where a request came from. */
export interface RequestOrigin {
	/** The client as far as it can be trusted, without a port. */
	readonly clientAddress: string;
	/** From this mesh rather than from outside: decides which `x-envoy-*` headers are believed. */
	readonly isInternal: boolean;
	/** Entering the mesh here. */
	readonly isEdge: boolean;
}

/**
 * Whom the request is from. With `useRemoteAddress` the peer itself, or, behind `xffNumTrustedHops` trusted proxies, the
 * entry of `x-forwarded-for` that the first of them wrote; without it the last entry not written by a trusted hop.
 * Internal is a caller from `internalRanges` without a chain of proxies; none are by default, private and loopback
 * addresses included, as in Envoy since 1.33.
 */
export function resolveOrigin(
	head: HeadersView,
	peerAddress: string,
	useRemoteAddress: boolean,
	trustedHops: number,
	internalRanges: readonly CidrRange[] = [],
): RequestOrigin {
	const peer = addressOf(peerAddress);
	const forwarded = head.get("x-forwarded-for");
	if (forwarded === undefined && !useRemoteAddress) return { clientAddress: peer, isInternal: false, isEdge: false };
	const index = useRemoteAddress ? trustedHops : trustedHops + 1;
	const trusted = index === 0 ? undefined : nthFromRight(forwarded, index);
	const clientAddress = trusted ?? peer;
	const isSingle = forwarded === undefined || !forwarded.includes(",");
	const isInternal = (useRemoteAddress ? forwarded === undefined : isSingle) && isInRanges(clientAddress, internalRanges);
	return { clientAddress, isInternal, isEdge: useRemoteAddress && !isInternal };
}

/** Of `ip:port` the address. */
export function addressOf(address: string): string {
	return parseIpPort(address)?.address ?? address;
}

function nthFromRight(list: string | undefined, n: number): string | undefined {
	const entries = list?.split(",") ?? [];
	const entry = entries[entries.length - n]?.trim();
	return entry !== undefined && parseIp(entry) ? entry : undefined;
}

function isInRanges(address: string, ranges: readonly CidrRange[]): boolean {
	if (ranges.length === 0) return false;
	const ip = parseIp(address);
	return ip !== undefined && ranges.some((range) => matchCidr(range, ip));
}

/** As many as a request may have headers; a list of thousands is made to cost time. */
const nominatedMax = 100;

/** Removes what is for this hop only, with the headers that `connection` names. */
export function removeHopByHop(head: HeadersEdit): void {
	const connection = head.get("connection");
	if (connection !== undefined && connection !== "keep-alive" && connection !== "close") {
		for (const token of connection.split(",", nominatedMax)) {
			const name = token.trim().toLowerCase();
			// `connection: cookie, :path` and the like are tricks to make proxies drop what matters.
			if (/^[a-z0-9-]+$/.test(name) && !protectedNames.has(name)) head.remove(name);
		}
	}
	for (const name of hopByHop) if (head.has(name)) head.remove(name);
	keepTrailersOnly(head, connection);
}

/** What may follow the body is the one thing of `te` that is said on; as in Envoy, in small letters unless `connection` names it. */
function keepTrailersOnly(head: HeadersEdit, connection: string | undefined): void {
	const te = head.get("te");
	if (te === undefined || te === "trailers") return;
	const isNominated = connection !== undefined && /(^|,)\s*te\s*(,|$)/i.test(connection);
	const codings = (isNominated ? te.toLowerCase() : te).split(",").map((coding) => coding.trim());
	if (codings.includes("trailers")) head.set("te", "trailers");
	else head.remove("te");
}

const protectedNames: ReadonlySet<string> = new Set([
	"host",
	"cookie",
	"authorization",
	"x-forwarded-for",
	"x-forwarded-host",
	"x-forwarded-proto",
	"content-length",
	"content-type",
	"te",
]);

/** Adds the peer to `x-forwarded-for`, a loopback peer by the address that others know this machine by. */
export function appendForwardedFor(head: HeadersEdit, peerAddress: string, machineAddress: string): void {
	const peer = addressOf(peerAddress);
	const ip = parseIp(peer);
	if (!ip) return;
	const added = isLoopback(ip) ? addressOf(machineAddress) : peer;
	const known = head.get("x-forwarded-for");
	head.set("x-forwarded-for", known === undefined || known === "" ? added : `${known},${added}`);
}
