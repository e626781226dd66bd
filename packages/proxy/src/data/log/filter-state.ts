import type { FilterStateObject, StreamInfo } from "./stream-info.ts";

/** Of the request, else of its connection. */
export function filterStateObject({ filterState, connection }: Pick<StreamInfo, "filterState" | "connection">, key: string): FilterStateObject | undefined {
	return filterState?.get(key) ?? connection.filterState?.get(key);
}

/** Its text. Istio's filters write the peer's SPIFFE identity, and without those it is what the certificate says. */
export function filterStateOf(info: StreamInfo, key: string): string | undefined {
	return filterStateObject(info, key)?.text ?? (key === "io.istio.peer_principal" ? info.connection.tls?.peerUriSans[0] : undefined);
}
