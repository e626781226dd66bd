import type { CheckResponse } from "@weft/xds/generated/envoy/service/auth/v3/external_auth.ts";
import type { AttributeContext_HttpRequest } from "@weft/xds/generated/envoy/service/auth/v3/attribute_context.ts";
import type { HeaderValueOption } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { ExtAuthz, ExtAuthzGrpc } from "../../config/external-authorization.ts";
import { ClusterCall } from "../../grpc/cluster-call.ts";
import type { HttpStream } from "../http/stream.ts";
import type { CompileContext } from "../match/compile-context.ts";
import type { Authorization, AuthorizationQuestion, AuthorizationService, FieldChange } from "./authorization.ts";
import { type CheckMessages, checkPath, destinationOf, loadCheckMessages, readCheck, sourceOf } from "./check-attributes.ts";
import { anyOf } from "./ext-authz-http.ts";

const partialHeader = "x-envoy-auth-partial-body";
const forbidden = 403;

/** A service of `envoy.service.auth.v3.Authorization`. `contextExtensions`: what the route says to it. */
export function createGrpcAuthorization(
	config: ExtAuthz,
	own: ExtAuthzGrpc,
	contextExtensions: Readonly<Record<string, string>>,
	compile: CompileContext,
): AuthorizationService {
	const allowed = config.allowedHeaders.length === 0 ? () => true : anyOf(config.allowedHeaders, compile);
	const disallowed = anyOf(config.disallowedHeaders, compile);
	const isSent = (name: string) => name !== partialHeader && allowed(name) && !disallowed(name);
	let messages: CheckMessages | undefined;
	const loading = loadCheckMessages().then((loaded) => (messages = loaded));
	return {
		ask(stream, question, onAnswer) {
			let call: ClusterCall | undefined;
			let isCancelled = false;
			const start = (loaded: CheckMessages) => {
				if (isCancelled) return;
				const cluster = stream.snapshot.clusters.get(own.service.cluster);
				if (cluster === undefined) return stream.router.delay(1, () => isCancelled || onAnswer({ kind: "error" }));
				const { CheckRequest } = loaded;
				const request = CheckRequest.encode(CheckRequest.fromPartial({ attributes: describe(stream, question) })).finish();
				call = new ClusterCall(cluster, own.service, checkPath, request, (result) => onAnswer(read(readCheck(result, loaded))));
			};
			if (messages !== undefined) start(messages);
			else
				void loading.then((loaded) => {
					start(loaded);
					stream.context.afterEvent();
				});
			return () => {
				isCancelled = true;
				call?.cancel();
			};
		},
	};

	function describe(stream: HttpStream, question: AuthorizationQuestion) {
		const { info, request } = stream;
		const { connection } = info;
		const { tls } = connection;
		const service = request.get("x-envoy-downstream-service-cluster") ?? "";
		const namespaces = own.metadataNamespaces.filter((name) => info.dynamicMetadata?.[name] !== undefined);
		return {
			source: sourceOf(connection, own.sendsPeerCertificate, service),
			destination: destinationOf(connection),
			request: { time: timestampOf(info.startTimeMs), http: describeRequest(stream, question) },
			contextExtensions,
			metadataContext: { filterMetadata: Object.fromEntries(namespaces.map((name) => [name, { ...info.dynamicMetadata?.[name] }])) },
			routeMetadataContext: {},
			...(own.sendsServerName && tls !== undefined ? { tlsSession: { sni: connection.requestedServerName } } : {}),
		};
	}

	function describeRequest({ context, info, request }: HttpStream, { body, isPartial }: AuthorizationQuestion): Partial<AttributeContext_HttpRequest> {
		const fields: [string, string][] = [":authority", ":method", ":path", ":scheme"].flatMap((name) => (isSent(name) ? [[name, request.get(name) ?? ""]] : []));
		request.forEach((name, value) => {
			if (isSent(name)) fields.push([name, value]);
		});
		if (body !== undefined && body.length > 0) fields.push([partialHeader, String(isPartial)]);
		const asBytes = config.body?.asBytes === true;
		return {
			id: String(Math.floor(context.random() * Number.MAX_SAFE_INTEGER)),
			method: request.method,
			path: request.path,
			host: request.authority,
			scheme: request.scheme,
			size: BigInt(body === undefined ? 0 : info.bytesReceived),
			protocol: info.protocol,
			...(own.sendsRawHeaders
				? { headerMap: { headers: fields.map(([key, value]) => ({ key, value: "", rawValue: Buffer.from(value, "latin1") })) } }
				: { headers: joined(fields) }),
			...(body === undefined ? {} : asBytes ? { rawBody: body } : { body: body.toString("utf8") }),
		};
	}
}

/** Values of one name are joined, as everywhere in HTTP. */
function joined(fields: readonly (readonly [string, string])[]): Record<string, string> {
	const map = new Map<string, string>();
	for (const [name, value] of fields) {
		const before = map.get(name);
		map.set(name, before === undefined ? toUtf8(value) : `${before},${toUtf8(value)}`);
	}
	return Object.fromEntries(map);
}

/** Fields are bytes; a string of protobuf is UTF-8. */
function toUtf8(value: string): string {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: everything beyond ASCII is looked for
	return /^[\x00-\x7f]*$/.test(value) ? value : Buffer.from(value, "latin1").toString("utf8");
}

function timestampOf(ms: number) {
	const seconds = Math.floor(ms / 1000);
	return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

function read(answer: CheckResponse | undefined): Authorization {
	if (answer === undefined) return { kind: "error" };
	return (answer.status?.code ?? 0) === 0 ? readOk(answer) : readDenied(answer);
}

function readOk({ okResponse: ok, dynamicMetadata }: CheckResponse): Authorization {
	const query = { set: ok?.queryParametersToSet ?? [], removed: ok?.queryParametersToRemove ?? [] };
	return {
		kind: "ok",
		request: (ok?.headers ?? []).flatMap((option) => changeOf(option, option.append === true ? "appendIfPresent" : "set")),
		removed: (ok?.headersToRemove ?? []).map((name) => name.toLowerCase()),
		response: (ok?.responseHeadersToAdd ?? []).flatMap((option) => changeOf(option, responseAction(option))),
		query: query.set.length + query.removed.length === 0 ? undefined : query,
		metadata: dynamicMetadata ?? ok?.dynamicMetadata ?? {},
	};
}

function changeOf({ header }: HeaderValueOption, action: FieldChange["action"]): readonly FieldChange[] {
	if (header === undefined) return [];
	const value = header.value === "" ? Buffer.from(header.rawValue) : Buffer.from(header.value);
	return [{ name: header.key.toLowerCase(), value: value.toString("latin1"), action }];
}

function responseAction({ append, appendAction }: HeaderValueOption): FieldChange["action"] {
	if (append !== undefined) return append ? "append" : "set";
	return (["append", "addIfAbsent", "set", "overwriteIfPresent"] as const)[appendAction] ?? "append";
}

function readDenied({ deniedResponse: denied, dynamicMetadata }: CheckResponse): Authorization {
	return {
		kind: "denied",
		status: denied?.status?.code || forbidden,
		// What is to be appended finds nothing in the proxy's own answer, and is dropped as Envoy drops it.
		headers: (denied?.headers ?? []).flatMap((option) => (option.append === true ? [] : changeOf(option, "set").flatMap(({ name, value }) => [name, value]))),
		body: denied?.body ?? "",
		metadata: dynamicMetadata ?? {},
	};
}
