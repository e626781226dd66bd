/** `ip:port` → ip, `[ip]:port` → ip. */
export function withoutPort(address: string): string {
	const colon = address.lastIndexOf(":");
	if (colon < 0 || address.startsWith("/")) return address;
	return address.startsWith("[") ? address.slice(1, address.indexOf("]")) : address.slice(0, colon);
}

export function portOf(address: string): number | undefined {
	const colon = address.lastIndexOf(":");
	return colon < 0 || address.startsWith("/") ? undefined : Number(address.slice(colon + 1));
}

/** `ip:port` and `[ip]:port` taken apart; port 0 where there is none. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
	return { host: withoutPort(address), port: portOf(address) ?? 0 };
}
