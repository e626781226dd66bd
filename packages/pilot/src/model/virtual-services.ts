import type { ConfigObject, Destination, HTTPRoute, TCPRoute, TLSRoute, VirtualServiceSpec } from "@weft/api";
import { byAge, createdMsOf } from "./age.ts";
import { delegateRoutes } from "./delegates.ts";
import { resolveHost } from "./hosts.ts";
import type { VirtualService } from "./push.ts";
import type { Reuse } from "./reuse.ts";
import { isVisible } from "./visibility.ts";

type VirtualServiceObject = ConfigObject<"VirtualService">;

interface Options {
	readonly domain: string;
	readonly defaultExportTo: readonly string[];
}

const resolved = new WeakMap<VirtualServiceObject, { readonly domain: string; readonly spec: VirtualServiceSpec }>();

/** The spec with every name written out in full. */
function resolvedSpec(object: VirtualServiceObject, domain: string): VirtualServiceSpec {
	const known = resolved.get(object);
	if (known?.domain === domain) return known.spec;
	const spec = resolveSpec(object.spec, object.metadata.namespace, domain);
	resolved.set(object, { domain, spec });
	return spec;
}

function resolveSpec(spec: VirtualServiceSpec, namespace: string, domain: string): VirtualServiceSpec {
	const host = (name: string) => resolveHost(name, namespace, domain);
	const destination = (to: Destination): Destination => ({ ...to, host: host(to.host) });
	const gateways = (names: readonly string[]) => names.map((name) => resolveGateway(name, namespace));
	const matches = <M extends { gateways?: readonly string[] | undefined }>(list: readonly M[]): M[] =>
		list.map((match) => (match.gateways ? { ...match, gateways: gateways(match.gateways) } : match));
	const routes = <R extends { destination: Destination }>(list: readonly R[]): R[] =>
		list.map((route) => ({ ...route, destination: destination(route.destination) }));
	const http = (route: HTTPRoute): HTTPRoute => ({
		...route,
		...(route.match && { match: matches(route.match) }),
		...(route.route && { route: routes(route.route) }),
		...(route.mirror && { mirror: destination(route.mirror) }),
		...(route.mirrors && { mirrors: routes(route.mirrors) }),
		...(route.delegate && { delegate: { ...route.delegate, namespace: route.delegate.namespace || namespace } }),
	});
	const tls = (route: TLSRoute): TLSRoute => ({ ...route, match: matches(route.match), ...(route.route && { route: routes(route.route) }) });
	const tcp = (route: TCPRoute): TCPRoute => ({
		...route,
		...(route.match && { match: matches(route.match) }),
		...(route.route && { route: routes(route.route) }),
	});
	return {
		...spec,
		hosts: (spec.hosts ?? []).map(host),
		gateways: spec.gateways && spec.gateways.length > 0 ? gateways(spec.gateways) : ["mesh"],
		...(spec.http && { http: spec.http.map(http) }),
		...(spec.tls && { tls: spec.tls.map(tls) }),
		...(spec.tcp && { tcp: spec.tcp.map(tcp) }),
	};
}

/** `name` → `namespace/name`; `mesh` is a word of its own. `name.namespace` is the old form of the same. */
function resolveGateway(name: string, namespace: string): string {
	if (name === "mesh" || name.includes("/")) return name;
	const dot = name.indexOf(".");
	return dot < 0 ? `${namespace}/${name}` : `${name.slice(dot + 1)}/${name.slice(0, dot)}`;
}

const isRoot = ({ spec }: VirtualServiceObject): boolean => (spec.hosts ?? []).length > 0;

/** All VirtualServices that have hosts, oldest first; delegates are merged into those that name them. */
export function buildVirtualServices(objects: readonly VirtualServiceObject[], options: Options, reuse: Reuse<VirtualService>): readonly VirtualService[] {
	const sorted = [...objects].sort(byAge);
	const delegates = new Map(sorted.filter((object) => !isRoot(object)).map((object) => [`${object.metadata.namespace}/${object.metadata.name}`, object]));
	return sorted.filter(isRoot).map((root) => {
		const used = delegatesOf(root, delegates, options);
		const key = `${root.metadata.namespace}/${root.metadata.name}`;
		return reuse.get(key, [root, options.domain, options.defaultExportTo.join(), ...used.values()], () => buildVirtualService(root, used, options));
	});
}

/** Delegates that the root names and may see, by `ns/name`. */
function delegatesOf(
	root: VirtualServiceObject,
	delegates: ReadonlyMap<string, VirtualServiceObject>,
	options: Options,
): ReadonlyMap<string, VirtualServiceObject> {
	const used = new Map<string, VirtualServiceObject>();
	for (const { delegate } of resolvedSpec(root, options.domain).http ?? []) {
		if (!delegate) continue;
		const key = `${delegate.namespace}/${delegate.name}`;
		const object = delegates.get(key);
		if (!object) continue;
		const { namespace } = object.metadata;
		if (isVisible(exportToOf(object.spec, options), namespace, root.metadata.namespace)) used.set(key, object);
	}
	return used;
}

function exportToOf(spec: VirtualServiceSpec, options: Options): readonly string[] {
	return spec.exportTo && spec.exportTo.length > 0 ? spec.exportTo : options.defaultExportTo;
}

function buildVirtualService(root: VirtualServiceObject, delegates: ReadonlyMap<string, VirtualServiceObject>, options: Options): VirtualService {
	const { name, namespace } = root.metadata;
	const own = resolvedSpec(root, options.domain);
	const http = own.http?.flatMap((route) => {
		if (!route.delegate) return [route];
		const delegate = delegates.get(`${route.delegate.namespace}/${route.delegate.name}`);
		return delegate ? delegateRoutes(route, resolvedSpec(delegate, options.domain).http ?? []) : [];
	});
	const spec: VirtualServiceSpec = { ...own, ...(http && { http }) };
	return {
		name,
		namespace,
		spec,
		hosts: spec.hosts ?? [],
		gateways: spec.gateways ?? ["mesh"],
		exportTo: exportToOf(spec, options),
		configPath: `/apis/networking.istio.io/v1/namespaces/${namespace}/virtual-service/${name}`,
		createdMs: createdMsOf(root.metadata),
		semantics: "istio",
	};
}
