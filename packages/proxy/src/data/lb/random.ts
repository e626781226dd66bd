import type { PickHost } from "./host-source.ts";

/** Any host with the same chance; weights are not looked at, as in Envoy. */
export function createRandomPick(random: () => number): PickHost {
	return (source) => source.hosts[Math.floor(random() * source.hosts.length)];
}
