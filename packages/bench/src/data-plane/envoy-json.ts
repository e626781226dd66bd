/** A message in proto3 JSON. */
export type EnvoyJson = { readonly [key: string]: EnvoyValue };
export type EnvoyValue = boolean | number | string | readonly EnvoyValue[] | EnvoyJson;

/** A message of a type by its full name, as an Any. */
export function typed(name: string, fields: EnvoyJson = {}): EnvoyJson {
	return { "@type": `type.googleapis.com/${name}`, ...fields };
}

/** A port on loopback. */
export function address(port: number): EnvoyJson {
	return { socket_address: { address: "127.0.0.1", port_value: port } };
}
