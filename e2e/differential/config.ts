/** Pieces of Envoy's configuration, as JSON, that several suites are built of. */
const type = "type.googleapis.com/envoy";

export const loopback = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

/** An extension's `{ name, typed_config }`. `message`: its full name without the `envoy.` in front. */
export function extension(name: string, message: string, fields: object = {}): object {
	return { name, typed_config: { "@type": `${type}.${message}`, ...fields } };
}

/** An HTTP filter. `message`: its name below `envoy.extensions.filters.http`. */
export const httpFilter = (name: string, message: string, fields: object = {}): object => extension(name, `extensions.filters.http.${message}`, fields);

export const router = httpFilter("envoy.filters.http.router", "router.v3.Router");

/** A log of JSON lines; `fields`: name → format. */
export function fileLog(path: string, fields: Readonly<Record<string, string>>): object {
	return extension("envoy.access_loggers.file", "extensions.access_loggers.file.v3.FileAccessLog", { path, log_format: { json_format: fields } });
}

export function httpListener(name: string, manager: object, more: object = {}): object {
	const filter = extension("envoy.filters.network.http_connection_manager", "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
		stat_prefix: name,
		http_filters: [router],
		...manager,
	});
	return listener(name, [filter], more);
}

/** One filter chain; `more`: further fields of the listener. */
export function listener(name: string, filters: readonly object[], more: object = {}): object {
	return { name, address: loopback(0), filter_chains: [{ filters }], ...more };
}

export function staticCluster(name: string, ports: number | readonly number[], fields: object = {}): object {
	const endpoints = [ports].flat().map((port) => ({ endpoint: { address: loopback(port) } }));
	return { name, type: "STATIC", connect_timeout: "1s", load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] }, ...fields };
}

/** An endpoint that ring hashes know by its name: its port differs between the two proxies. `metadata`: more of `envoy.lb`. */
export function keyedHost(name: string, port: number, metadata: object = {}, fields: object = {}): object {
	return {
		endpoint: { address: loopback(port), hostname: `${name}.test` },
		metadata: { filter_metadata: { "envoy.lb": { hash_key: `host-${name}`, ...metadata } } },
		...fields,
	};
}
