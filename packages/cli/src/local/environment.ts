import type { Offered, Placement } from "./placement.ts";
import type { DesiredContainer, DesiredPod } from "./workloads.ts";

/** `$(NAME)` as in a Pod's command and args: replaced where NAME is known, kept otherwise. */
export function expandVariables(text: string, env: Readonly<Record<string, string>>): string {
	return text.replace(/\$\(([A-Za-z_][A-Za-z0-9_]*)\)/g, (whole, name: string) => (Object.hasOwn(env, name) ? (env[name] ?? whole) : whole));
}

const portOf = (address: string) => address.slice(address.lastIndexOf(":") + 1);

/**
 * What an application finds in its environment: where to listen (PORT, PORT_<containerPort>), how to reach others
 * (HTTP_PROXY, and <SERVICE>_SERVICE_HOST and _PORT as Kubernetes sets them), who it is, and what its Pod says.
 *
 * @param socket where the pod's sidecar serves the SPIFFE Workload API
 */
export function containerEnvironment(
	pod: DesiredPod,
	container: DesiredContainer,
	placement: Placement,
	offered: readonly Offered[],
	socket?: string,
): Record<string, string> {
	const env: Record<string, string> = { POD_NAME: pod.name, POD_NAMESPACE: pod.namespace, HOSTNAME: pod.name, SERVICE_ACCOUNT: pod.serviceAccount };
	for (const { containerPort } of container.ports) {
		const port = portOf(placement.inbound[containerPort]?.endpoint ?? "");
		env[`PORT_${containerPort}`] = port;
		env["PORT"] ??= port;
	}
	if (pod.sidecar) {
		const proxy = `http://127.0.0.1:${placement.httpProxyPort}`;
		Object.assign(env, {
			HTTP_PROXY: proxy,
			http_proxy: proxy,
			NO_PROXY: "localhost,127.0.0.1,::1",
			no_proxy: "localhost,127.0.0.1,::1",
			NODE_USE_ENV_PROXY: "1",
			// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md#4-locating-the-endpoint
			...(socket === undefined ? {} : { SPIFFE_ENDPOINT_SOCKET: `unix://${socket}` }),
		});
	}
	for (const { host, name, namespace, port } of offered) {
		const address = placement.outbound[`${host}:${port}`];
		if (namespace !== pod.namespace || address === undefined) continue;
		const prefix = name.toUpperCase().replaceAll("-", "_");
		env[`${prefix}_SERVICE_HOST`] = "127.0.0.1";
		env[`${prefix}_SERVICE_PORT`] ??= portOf(address);
		env[`${prefix}_PORT_${port}`] = portOf(address);
	}
	Object.assign(env, container.process.env);
	for (const [key, value] of Object.entries(container.env)) env[key] = expandVariables(value, env);
	return env;
}
