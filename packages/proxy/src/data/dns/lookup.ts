import { lookup as nodeLookup, Resolver } from "node:dns/promises";

export interface ResolvedAddress {
	readonly address: string;
	readonly family: number;
}

/** All addresses of a name, in the resolver's order. Rejects when there are none. */
export type Lookup = (name: string) => Promise<readonly ResolvedAddress[]>;

export const systemLookup: Lookup = (name) => nodeLookup(name, { all: true, order: "verbatim" });

/** How long the answer for a name may be kept, in seconds; undefined: nobody says. Rejects never. */
export type LookupTtl = (name: string, families: readonly number[]) => Promise<number | undefined>;

/** The system's resolver does not tell, so a name server is asked; a name that only the hosts file knows has none. */
export const serverTtl: LookupTtl = async (name, families) => {
	const resolver = new Resolver({ timeout: 2_000, tries: 1 });
	const ask = (family: number) => (family === 4 ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }));
	const answers = await Promise.all(families.map((family) => ask(family).catch(() => [])));
	const ttls = answers.flat().map(({ ttl }) => ttl);
	return ttls.length === 0 ? undefined : Math.min(...ttls);
};

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
