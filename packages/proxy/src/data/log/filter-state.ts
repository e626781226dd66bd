import type { StreamInfo } from "./stream-info.ts";

/** What filters put there; Istio's write the peer's SPIFFE identity, and without those it is what the certificate says. */
export function filterStateOf({ filterState, connection }: StreamInfo, key: string): string | undefined {
	return filterState?.get(key) ?? (key === "io.istio.peer_principal" ? connection.tls?.peerUriSans[0] : undefined);
}
