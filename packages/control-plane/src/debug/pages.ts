import { stats } from "@weft/pilot";
import { configDumpPage, typedPage } from "./config-dump.ts";
import { type DebugContext, type DebugHandler, type DebugReply, jsonReply, textReply } from "./context.ts";
import { authorizationz, configz, diagnostics, mesh, networkz, pushcontext, pushStatus, resourcesz, telemetryz } from "./objects.ts";
import { adsz, connections, instancesz, sidecarz, syncz } from "./proxies.ts";
import { endpointShardz, registryz } from "./services.ts";

interface DebugPage {
	readonly help: string;
	readonly answer: DebugHandler;
}

const page = (help: string, answer: DebugHandler): DebugPage => ({ help, answer });

/** `/debug/NAME`, as istiod's https://github.com/istio/istio/blob/master/pilot/pkg/xds/debug.go has them. */
const pages: ReadonlyMap<string, DebugPage> = new Map<string, DebugPage>([
	["adsz", page("Status and debug interface for ADS; ?push=true hands every proxy its configuration anew", adsz)],
	["authorizationz", page("Authorization policies", authorizationz)],
	["ca", page("Roots, slots and phase of the certificate authority, and which proxies have them", ca)],
	["cachez", page("What the caches of the translator hold", cachez)],
	["clusterz", page("Clusters that endpoints are read from", clusterz)],
	["config_dump", page("What a proxy should have, in the form of Envoy's config dump: ?proxyID=POD.NAMESPACE", configDumpPage)],
	["configz", page("Configuration", configz)],
	["connections", page("Connected xDS clients", connections)],
	["diagnostics", page("What is wrong with the configuration, with file and line", diagnostics)],
	["ecdsz", page("A proxy's extension configurations: ?proxyID=POD.NAMESPACE", typedPage("ecds"))],
	["edsz", page("A proxy's endpoints: ?proxyID=POD.NAMESPACE", typedPage("eds"))],
	["endpointShardz", page("Endpoints of all services", endpointShardz)],
	["endpointz", page("Obsolete, use endpointShardz", endpointShardz)],
	["instancesz", page("Service ports that each proxy's workload serves", instancesz)],
	["list", page("List all supported debug commands in json", list)],
	["mcsz", page("Services of the Multi-Cluster Services API", (request) => jsonReply(request, []))],
	["mesh", page("Active mesh config", mesh)],
	["ndsz", page("A proxy's names and addresses: ?proxyID=POD.NAMESPACE", typedPage("nds"))],
	["networkz", page("List cross-network gateways", networkz)],
	["push_status", page("What is wrong with the configuration, by code and object", pushStatus)],
	["pushcontext", page("Policies and network gateways of the current push", pushcontext)],
	["registryz", page("Services", registryz)],
	["resourcesz", page("Kinds of configuration", resourcesz)],
	["sidecarz", page("What a proxy's scope lets it see: ?proxyID=POD.NAMESPACE", sidecarz)],
	["syncz", page("Synchronization status of all proxies connected to this replica", syncz)],
	["telemetryz", page("Telemetry, of the mesh or of ?proxyID=POD.NAMESPACE", telemetryz)],
]);

/** What istiod has and this control plane has nothing to answer with, and why. */
const absent: ReadonlyMap<string, string> = new Map([
	["ambientz", "there is no ambient mode: every workload has its own proxy"],
	["inject", "there are no text templates: the injector builds the proxy's containers from the ConfigMap istio-sidecar-injector; see them by weft inject"],
	["krtz", "there are no krt collections: /debug/configz and /debug/registryz show what was read"],
	["pprof", "this is no Go program; /metrics has memory, event loop and garbage collection"],
]);

/** A page that istiod answers to callers of any namespace, about proxies of their own. */
const openPages: ReadonlySet<string> = new Set(["config_dump", "ndsz", "edsz"]);

/** May somebody of this namespace (undefined: from loopback) ask for the page? What they are told then is of their own namespace. */
export const mayAsk = ({ trustedNamespaces }: DebugContext, namespace: string | undefined, name: string): boolean =>
	namespace === undefined || trustedNamespaces.has(namespace) || openPages.has(name);

/** Answers what stands behind `/debug/`: a name and a query. */
export function answerDebug(context: DebugContext, namespace: string | undefined, name: string, query: URLSearchParams): DebugReply {
	const reason = absent.get(name.split("/")[0] ?? "");
	if (reason !== undefined) return textReply(501, `not here: ${reason}`);
	// By these words istioctl knows that it should show the list.
	const found = pages.get(name);
	if (found === undefined) return textReply(404, "404 page not found");
	const seesAll = namespace === undefined || context.trustedNamespaces.has(namespace);
	return found.answer({ context, query, namespace: seesAll ? undefined : namespace });
}

/** `/debug`: all pages, for a browser. */
export function debugIndex(): DebugReply {
	const rows = [...pages].map(([name, { help }]) => `<tr><td><a href="/debug/${name}">/debug/${name}</a></td><td>${help.replaceAll("<", "&lt;")}</td></tr>`);
	const head = "<!doctype html><html><head><title>Debug pages of the control plane</title></head><body>";
	const note = "<p>With <b>pretty</b> in the query (<b>/debug/configz?pretty</b>) the answer is indented.</p>";
	const body = `${head}${note}<table><tr><th>Endpoint</th><th>Description</th></tr>${rows.join("\n")}</table></body></html>\n`;
	return { status: 200, type: "text/html; charset=utf-8", body };
}

function list(request: Parameters<DebugHandler>[0]): DebugReply {
	return jsonReply(
		request,
		[...pages.keys()].filter((name) => name !== "list"),
	);
}

function ca(request: Parameters<DebugHandler>[0]): DebugReply {
	const { rotation } = request.context;
	return rotation ? jsonReply(request, rotation.status()) : textReply(404, "this control plane has no certificate authority of its own");
}

function clusterz(request: Parameters<DebugHandler>[0]): DebugReply {
	const { clusters } = request.context;
	return clusters ? jsonReply(request, clusters()) : textReply(400, "this control plane reads files, no cluster");
}

/** Caches are keyed by the identity of their inputs, so nothing in them can be out of date, and nobody needs to clear them. */
function cachez(request: Parameters<DebugHandler>[0]): DebugReply {
	const { query, context } = request;
	if (query.has("clear")) return textReply(501, "not here: what is kept is found by the very objects it was made of, so it is never out of date");
	return jsonReply(request, { scopes: [...context.discovery.push.caches.scopes.keys()], ...stats });
}
