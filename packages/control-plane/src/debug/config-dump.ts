import { wantedResources } from "@weft/pilot";
import { type Any, packAny, registerMessages, toJson, typeUrls, type XdsType, xdsTypeOf } from "@weft/xds";
import { BootstrapConfigDump, ConfigDump, SecretsConfigDump } from "@weft/xds/generated/envoy/admin/v3/config_dump.ts";
import {
	ClustersConfigDump,
	EcdsConfigDump,
	EndpointsConfigDump,
	ListenersConfigDump,
	RoutesConfigDump,
	ScopedRoutesConfigDump,
} from "@weft/xds/generated/envoy/admin/v3/config_dump_shared.ts";
import { DataSource } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { allMessages } from "@weft/xds/registry";
import type { XdsClient } from "@weft/xds/server";
import { aboutProxy, type DebugContext, type DebugHandler, type DebugReply, type DebugRequest, jsonReply } from "./context.ts";

/** `?types=`: istiod's short names. */
const shortNames: Readonly<Record<string, XdsType>> = {
	CDS: "cds",
	LDS: "lds",
	RDS: "rds",
	EDS: "eds",
	SDS: "sds",
	NDS: "nds",
	PCDS: "pcds",
	ECDS: "ecds",
};

const typeOf = (name: string): XdsType | undefined => shortNames[name.toUpperCase()] ?? xdsTypeOf(name);

/** What a proxy should have, in the form of Envoy's own dump: `?proxyID=POD.NS[&types=lds,rds][&include_eds]`. */
export const configDumpPage: DebugHandler = (request) => {
	const types = request.query.get("types") ?? "";
	if (types !== "") return resourcesPage(request, types.split(","));
	return aboutProxy(request, (client) => dumpReply(request, configDump(request.context, client, request.query.has("include_eds"))));
};

/** The resources of one type alone, as `/debug/edsz` has them. */
export const typedPage =
	(type: XdsType): DebugHandler =>
	(request) =>
		resourcesPage(request, [type]);

function resourcesPage(request: DebugRequest, types: readonly string[]): DebugReply {
	const wanted = new Set(types.flatMap((name) => typeOf(name) ?? []));
	return aboutProxy(request, (client) =>
		dumpReply(
			request,
			[...wanted].flatMap((type) => resourcesOf(request.context, client, type).map(({ resource }) => resource)),
		),
	);
}

function dumpReply(request: DebugRequest, configs: readonly Any[]): DebugReply {
	registerMessages(allMessages);
	return jsonReply(request, toJson("envoy.admin.v3.ConfigDump", ConfigDump.fromPartial({ configs: [...configs] })));
}

interface Named {
	readonly name: string;
	/** As xDS carries it. */
	readonly resource: Any;
}

/** What the proxy has asked for of a type; of the rest there is nothing to compare. */
function resourcesOf({ discovery }: DebugContext, client: XdsClient, type: XdsType): readonly Named[] {
	const state = client.states().find((one) => one.type === type);
	if (state === undefined) return [];
	const redact = type === "sds" ? redactSecret : (bytes: Uint8Array) => bytes;
	return wantedResources(discovery.viewOf(client), state).map(({ name, bytes }) => ({ name, resource: { typeUrl: typeUrls[type], value: redact(bytes) } }));
}

/** Private keys are for their proxy alone. */
function redactSecret(bytes: Uint8Array): Uint8Array {
	const secret = Secret.decode(bytes);
	if (secret.tlsCertificate) secret.tlsCertificate.privateKey = DataSource.fromPartial({ inlineBytes: Buffer.from("[redacted]") });
	return Secret.encode(secret).finish();
}

/** The sections in istiod's order. */
export function configDump(context: DebugContext, client: XdsClient, includesEndpoints: boolean): readonly Any[] {
	const versionInfo = String(context.discovery.push.version);
	const of = (type: XdsType) => resourcesOf(context, client, type);
	const endpoints = () => of("eds").map(({ resource }) => ({ versionInfo, endpointConfig: resource }));
	return [
		section("BootstrapConfigDump", BootstrapConfigDump, {}),
		section("ClustersConfigDump", ClustersConfigDump, { versionInfo, dynamicActiveClusters: of("cds").map(({ resource }) => ({ cluster: resource })) }),
		...(includesEndpoints ? [section("EndpointsConfigDump", EndpointsConfigDump, { dynamicEndpointConfigs: endpoints() })] : []),
		section("ListenersConfigDump", ListenersConfigDump, {
			versionInfo,
			dynamicListeners: of("lds").map(({ name, resource }) => ({ name, activeState: { versionInfo, listener: resource } })),
		}),
		section("ScopedRoutesConfigDump", ScopedRoutesConfigDump, {}),
		section("RoutesConfigDump", RoutesConfigDump, { dynamicRouteConfigs: of("rds").map(({ resource }) => ({ versionInfo, routeConfig: resource })) }),
		section("SecretsConfigDump", SecretsConfigDump, { dynamicActiveSecrets: of("sds").map(({ resource }) => ({ versionInfo, secret: resource })) }),
		section("EcdsConfigDump", EcdsConfigDump, { ecdsFilters: of("ecds").map(({ resource }) => ({ versionInfo, ecdsFilter: resource })) }),
	];
}

const section = <T>(name: string, fns: Parameters<typeof packAny<T>>[1], fields: object): Any =>
	packAny(`envoy.admin.v3.${name}`, fns, fns.fromPartial(fields));
