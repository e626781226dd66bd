import { parseBool } from "../annotations.ts";
import { type Json, type JsonObject, omit } from "../json.ts";
import { annotationsOf, type Container, findProxy, type Handler, mapContainers, mapProxy, type Pod, type Probe, proxyContainerName } from "../pod/pod.ts";

// https://istio.io/latest/docs/ops/configuration/mesh/app-health-check/
// The kubelet has no certificate of the mesh: it asks the agent, which asks the application.

export const probersVariable = "ISTIO_KUBE_APP_PROBERS";

export const probePaths = [
	["readinessProbe", "readyz"],
	["livenessProbe", "livez"],
	["startupProbe", "startupz"],
] as const;
export const hookPaths = [
	["preStop", "prestopz"],
	["postStart", "poststartz"],
] as const;

export const probePath = (container: string, name: string): string => `/app-health/${container}/${name}`;
export const hookPath = (container: string, name: string): string => `/app-lifecycle/${container}/${name}`;

/** Sends the application's HTTP, TCP and gRPC probes and HTTP and TCP hooks to the agent, which is told the originals. */
export function rewriteProbes(pod: Pod, isDefault: boolean, statusPort: number): Pod {
	const isWanted = parseBool(annotationsOf(pod)["sidecar.istio.io/rewriteAppHTTPProbers"] ?? "") ?? isDefault;
	if (!isWanted || !findProxy(pod)) return pod;
	const originals = collectProbers(pod, statusPort);
	const told = Object.keys(originals).length > 0 ? mapProxy(pod, (proxy) => tell(proxy, originals)) : pod;
	return mapContainers(told, (container) => (container.name === proxyContainerName ? container : rewriteContainer(container, statusPort)));
}

function collectProbers(pod: Pod, statusPort: number): JsonObject {
	const originals: [string, JsonObject][] = [];
	for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
		if (container.name === proxyContainerName) continue;
		const add = (path: string, handler: Probe | undefined, timeoutSeconds?: number): void => {
			const prober = handler && proberOf(handler, container, statusPort);
			if (prober) originals.push([path, { ...prober, ...(timeoutSeconds && { timeoutSeconds }) }]);
		};
		for (const [field, name] of probePaths) add(probePath(container.name, name), container[field], container[field]?.timeoutSeconds);
		for (const [field, name] of hookPaths) add(hookPath(container.name, name), container.lifecycle?.[field]);
	}
	return Object.fromEntries(originals);
}

/** The probe as the agent runs it, ports resolved to numbers; undefined: it runs a command, or it has been rewritten. */
function proberOf({ httpGet, tcpSocket, grpc }: Probe, container: Container, statusPort: number): JsonObject | undefined {
	if (httpGet) {
		const port = portOf(httpGet.port, container);
		if (port === undefined || port === statusPort) return undefined;
		const { path, host, scheme, httpHeaders } = httpGet;
		return { httpGet: { ...(path && { path }), port, ...(host && { host }), ...(scheme && { scheme }), ...(httpHeaders?.length && { httpHeaders }) } };
	}
	if (tcpSocket) {
		const port = portOf(tcpSocket.port, container);
		return port === undefined || port === statusPort ? undefined : { tcpSocket: { port, ...(tcpSocket.host && { host: tcpSocket.host }) } };
	}
	return grpc ? { grpc: { port: grpc.port, service: grpc.service ?? null } } : undefined;
}

function portOf(port: string | number, container: Container): number | undefined {
	if (typeof port === "number") return port;
	return container.ports?.find(({ name }) => name === port)?.containerPort ?? (/^\d{1,5}$/.test(port) ? Number(port) : undefined);
}

/** What an earlier injection told stays: its probes cannot be seen any more. */
function tell(proxy: Container, originals: JsonObject): Container {
	const env = proxy.env ?? [];
	const before = env.find(({ name }) => name === probersVariable)?.value;
	const all = { ...originals, ...(before === undefined ? {} : parseProbers(before)) };
	const sorted = Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
	const entry = { name: probersVariable, value: JSON.stringify(sorted) };
	return { ...proxy, env: before === undefined ? [...env, entry] : env.map((variable) => (variable.name === probersVariable ? entry : variable)) };
}

export function parseProbers(text: string): JsonObject {
	try {
		const parsed = JSON.parse(text) as Json;
		return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? (parsed as JsonObject) : {};
	} catch {
		// Not ours: a user's own variable of this name.
		return {};
	}
}

function rewriteContainer(container: Container, statusPort: number): Container {
	const probes = probePaths.flatMap(([field, name]) => {
		const probe = container[field];
		return probe ? [[field, rewriteHandler(probe, probePath(container.name, name), statusPort)]] : [];
	});
	const { lifecycle } = container;
	const hooks = hookPaths.flatMap(([field, name]) => {
		const hook = lifecycle?.[field];
		return hook ? [[field, rewriteHandler(hook, hookPath(container.name, name), statusPort)]] : [];
	});
	return { ...container, ...Object.fromEntries(probes), ...(lifecycle && { lifecycle: { ...lifecycle, ...Object.fromEntries(hooks) } }) };
}

function rewriteHandler<T extends Handler & { readonly grpc?: object }>(handler: T, path: string, port: number): T {
	const { httpGet } = handler;
	if (httpGet) {
		// The agent itself speaks TLS to the application.
		const scheme = httpGet.scheme === "HTTPS" ? { scheme: "HTTP" } : {};
		return { ...handler, httpGet: { ...httpGet, ...scheme, path, port } };
	}
	if (!handler.tcpSocket && !handler.grpc) return handler;
	return { ...omit(handler, ["tcpSocket", "grpc"]), httpGet: { path, port } };
}
