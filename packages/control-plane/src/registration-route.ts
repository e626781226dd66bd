import { authenticate, type Authenticator, type Caller } from "@weft/citadel";
import { decodeInstance, type RegistrationRefusal, type Registrations } from "@weft/pilot";
import type { SpiffeId } from "@weft/pki";
import type { Logger } from "@weft/runtime";
import { BodyTooLarge, type HttpsAnswer, type HttpsRequest, type HttpsRoute } from "./https-server.ts";

export interface RegistrationRouteOptions {
	readonly registrations: Registrations;
	/** Who is believed to be whom. */
	readonly authenticators: readonly Authenticator[];
	/** Where all of a mesh is one machine. */
	readonly allowsLoopback: boolean;
	readonly logger: Logger;
}

const prefix = "/registration/v1";
/** Labels and ports of one instance, with room. */
const bodyBytesMax = 16 << 10;
const statuses: Readonly<Record<RegistrationRefusal["code"], number>> = { invalid: 422, forbidden: 403, conflict: 409, notFound: 404, tooMany: 429 };

/**
 * `POST /registration/v1/namespaces/NS/instances` registers, `PUT …/instances/NAME` does so under that name and is every heartbeat,
 * `DELETE …/instances/NAME` takes it out. By client certificate or bearer token; nothing is told to others.
 */
export function registrationRoute(options: RegistrationRouteOptions): HttpsRoute {
	return {
		path: prefix,
		async handle(request) {
			const path = /^\/namespaces\/([^/]+)\/instances(?:\/([^/]+))?$/.exec(request.url.pathname.slice(prefix.length));
			const [namespace, name] = (path?.slice(1) ?? []).map(decoded);
			if (namespace === undefined) return text(404, `registrations are at ${prefix}/namespaces/NAMESPACE/instances[/NAME]`);
			const isWanted = name === undefined ? request.method === "POST" : request.method === "PUT" || request.method === "DELETE";
			if (!isWanted) return text(405, "register with POST …/instances or PUT …/instances/NAME, renew with PUT, deregister with DELETE");
			const caller = await identify(options, request.caller);
			if ("status" in caller) return caller;
			try {
				return await act(options, request, caller, { namespace, name });
			} catch (error) {
				if (error instanceof BodyTooLarge) throw error;
				options.logger.warn("instance not registered", { namespace, name: name ?? "", error });
				return text(503, "registrations cannot be kept now; try again");
			}
		},
	};
}

const text = (status: number, body: string): HttpsAnswer => ({ status, body: `${body}\n` });

function decoded(part: string | undefined): string | undefined {
	try {
		return part === undefined ? undefined : decodeURIComponent(part);
	} catch {
		// No name is written so.
		return "%";
	}
}

async function identify({ authenticators, logger }: RegistrationRouteOptions, caller: Caller): Promise<SpiffeId | HttpsAnswer> {
	const outcome = await authenticate(authenticators, caller);
	if (outcome.ok) return outcome.value.identity;
	if ("isUnavailable" in outcome) return text(503, "the token cannot be verified now; try again");
	logger.info("registration refused", { peer: caller.remoteAddress, reason: outcome.reason });
	return text(401, "a client certificate of the mesh or a bearer token is needed");
}

interface Target {
	readonly namespace: string;
	readonly name: string | undefined;
}

async function act({ registrations, allowsLoopback }: RegistrationRouteOptions, request: HttpsRequest, caller: SpiffeId, { namespace, name }: Target) {
	if (request.method === "DELETE") {
		const outcome = await registrations.deregister(caller, { namespace, name: name ?? "" });
		return outcome.ok ? { status: 200, body: "{}\n" } : text(statuses[outcome.code], outcome.reason);
	}
	const body = decodeInstance(await request.readBody(bodyBytesMax), { namespace, allowsLoopback });
	if (!body.ok) return text(422, body.reason);
	if (name !== undefined && body.value.name !== undefined && body.value.name !== name) return text(422, `name: the path says ${name}`);
	const outcome = await registrations.register(caller, namespace, name, body.value);
	if (!outcome.ok) return text(statuses[outcome.code], outcome.reason);
	const told = { namespace, name: outcome.name, ttl: `${outcome.ttlMs / 1000}s` };
	return { status: outcome.created ? 201 : 200, body: `${JSON.stringify(told)}\n` };
}
