import { lookup as nodeLookup } from "node:dns/promises";

export interface ResolvedAddress {
	readonly address: string;
	readonly family: number;
}

/** All addresses of a name, in the resolver's order. Rejects when there are none. */
export type Lookup = (name: string) => Promise<readonly ResolvedAddress[]>;

export const systemLookup: Lookup = (name) => nodeLookup(name, { all: true, order: "verbatim" });

export type LookupFamily = "auto" | "v4" | "v6" | "v4Preferred" | "all";

/** Envoy's dns_lookup_family. AUTO prefers v6, V4_PREFERRED the other, and neither mixes them; ALL gives both. */
export function chooseFamily(addresses: readonly ResolvedAddress[], family: LookupFamily): readonly ResolvedAddress[] {
	const of = (n: number) => addresses.filter((address) => address.family === n);
	switch (family) {
		case "v4":
			return of(4);
		case "v6":
			return of(6);
		case "auto":
			return of(6).length > 0 ? of(6) : of(4);
		case "v4Preferred":
			return of(4).length > 0 ? of(4) : of(6);
		case "all":
			return addresses;
	}
}
