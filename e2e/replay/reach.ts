import { Agent, type IncomingMessage, request as send } from "node:http";
import type { Json, Resources } from "./corpus.ts";
import type { Probe } from "./loopback.ts";
import { requestOf, type RouteRequest } from "./route-request.ts";

type List = readonly Json[];
const listOf = (value: unknown): List => (value ?? []) as List;

export interface Reached {
	/** Requests that were sent, and routes for which there is none: an earlier one takes all, or it needs a token. */
	readonly asked: number;
	readonly unasked: number;
	/** What did not go where the configuration says. */
	readonly wrong: readonly string[];
}

/** The table that a probe serves. */
export function tableOf({ manager }: Probe, { rds }: Resources): Json | undefined {
	const inline = manager["routeConfig"] as Json | undefined;
	return inline ?? rds.get(String((manager["rds"] as Json | undefined)?.["routeConfigName"]));
}

/** Clusters that a table names. */
export function clustersOf(table: Json): readonly string[] {
	return listOf(table["virtualHosts"]).flatMap((host) => listOf(host["routes"]).flatMap((route) => targetsOf(route["route"] as Json | undefined)));
}

function targetsOf(action: Json | undefined): readonly string[] {
	if (action === undefined) return [];
	if (action["cluster"] !== undefined) return [String(action["cluster"])];
	const weighted = listOf((action["weightedClusters"] as Json | undefined)?.["clusters"]);
	return weighted.filter(({ weight }) => Number(weight ?? 0) > 0).map(({ name }) => String(name));
}

const agent = new Agent({ keepAlive: true, maxSockets: 16 });
const togetherMax = 16;

/** Sends a request for each route of a probe's table. */
export async function reachRoutes(probe: Probe, port: number, resources: Resources): Promise<Reached> {
	const table = tableOf(probe, resources);
	const jobs: (() => Promise<string | undefined>)[] = [];
	let unasked = 0;
	for (const host of listOf(table?.["virtualHosts"])) {
		for (const route of listOf(host["routes"])) {
			const request = requestOf(table as Json, host, route);
			if (request === undefined) unasked++;
			else jobs.push(async () => judge(await answerTo(port, request), { host, manager: probe.manager, request, resources, route }));
		}
	}
	const wrong: string[] = [];
	for (let at = 0; at < jobs.length; at += togetherMax) {
		const found = await Promise.all(jobs.slice(at, at + togetherMax).map((job) => job()));
		wrong.push(...found.filter((one) => one !== undefined));
	}
	return { asked: jobs.length, unasked, wrong };
}

interface Answer {
	readonly status: number;
	readonly header: (name: string) => string;
}

function answerTo(port: number, { authority, headers, method, path }: RouteRequest): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const sent = send(
			{ host: "127.0.0.1", port, method, path, headers: { ...headers, host: authority }, agent, timeout: 10_000 },
			(response: IncomingMessage) => {
				response.resume();
				response.on("error", reject);
				response.on("end", () => resolve({ status: response.statusCode ?? 0, header: (name) => String(response.headers[name] ?? "") }));
			},
		);
		sent.on("timeout", () => sent.destroy(new Error(`no answer to ${method} ${authority}${path} at port ${port}`)));
		sent.on("error", reject);
		sent.end();
	});
}

interface Expectation {
	readonly host: Json;
	readonly manager: Json;
	readonly request: RouteRequest;
	readonly resources: Resources;
	readonly route: Json;
}

/** Filters that may answer by themselves, and what they say then. */
const ownAnswers: readonly (readonly [type: RegExp, reason: RegExp])[] = [
	[/\.rbac\.v3\.RBAC$/, /^rbac_access_denied/],
	[/\.JwtAuthentication$/, /^jwt_authn_access_denied/],
	[/\.ExtAuthz$/, /^ext_authz_/],
	[/\.HTTPFault$/, /^fault_filter_abort$/],
	[/\.LocalRateLimit$/, /^local_rate_limited$/],
];

/** undefined: the request went where it was to go, or was answered as it was to be. */
function judge(answer: Answer, expectation: Expectation): string | undefined {
	const { host, manager, request, resources, route } = expectation;
	const reason = answer.header("x-reason");
	const say = (wanted: string) =>
		`${request.method} ${request.authority}${request.path} ${JSON.stringify(request.headers)}: ${wanted}, but ${answer.status} ${decodeURIComponent(answer.header("x-cluster"))} ${reason}`;
	const types = listOf(manager["httpFilters"]).map(({ typedConfig }) => String((typedConfig as Json | undefined)?.["@type"]));
	const isOwn = ownAnswers.some(([type, said]) => said.test(reason) && types.some((one) => type.test(one)));
	if ((host["requireTls"] ?? "NONE") !== "NONE") return answer.status === 301 ? undefined : say("a redirect to HTTPS");
	const direct = route["directResponse"] as Json | undefined;
	if (direct !== undefined) return isOwn || answer.status === direct["status"] ? undefined : say(`the answer ${String(direct["status"])}`);
	if (route["redirect"] !== undefined) return isOwn || (answer.status >= 301 && answer.status <= 308) ? undefined : say("a redirect");
	const targets = targetsOf(route["route"] as Json | undefined);
	// What a filter refuses was to go there all the same.
	const reached = isOwn ? answer.header("x-chosen") : decodeURIComponent(answer.header("x-cluster"));
	if (targets.includes(reached)) return undefined;
	const isMissing = targets.every((name) => !resources.cds.has(name));
	return isMissing && reason === "cluster_not_found" ? undefined : say(`to ${targets.join(" or ")}`);
}

export function closeConnections(): void {
	agent.destroy();
}
