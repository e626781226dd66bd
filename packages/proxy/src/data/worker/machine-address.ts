import { networkInterfaces } from "node:os";

/** The address that others know this machine by: the first that is not a loopback one, IPv4 before IPv6. */
export function findMachineAddress(): string {
	const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
	const outward = addresses.filter(({ internal }) => !internal);
	return (outward.find(({ family }) => family === "IPv4") ?? outward[0])?.address ?? "127.0.0.1";
}
