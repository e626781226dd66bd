import { isIP } from "node:net";
import { readFileSync } from "node:fs";
import { translateAll } from "@weft/pilot";
import { registerMessages } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { inboundChains } from "../authz/chains.ts";
import { type Decision, decide, type Question } from "../authz/decide.ts";
import { clusterTarget } from "../authz/cluster-target.ts";
import { isLocal, localDump } from "../authz/live-dump.ts";
import { resolveTarget } from "../authz/targets.ts";
import { type ClusterOptions, openCluster } from "../kube/cluster.ts";
import { pushOfFiles, proxyNodeOf } from "../offline/push.ts";
import { CommandError } from "../output/errors.ts";
import { type OutputFormat, renderValue } from "../output/format.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface CanIOptions extends ClusterOptions, StateOptions {
	readonly from: string;
	readonly filename?: readonly string[];
	readonly meshConfig?: string;
	readonly header?: readonly string[];
	readonly jwtClaims?: string;
	readonly plaintext?: boolean;
	readonly ip?: string;
	readonly trustDomain: string;
	readonly output: OutputFormat;
}

/** What one workload behind the host answers. */
export interface Answer extends Decision {
	/** `pod.namespace` */
	readonly workload: string;
}

/** Would this request be let through? Prints yes or no with the rule that decides, as `kubectl auth can-i` does; status 1: no. */
export async function canICommand(method: string, url: string, options: CanIOptions): Promise<void> {
	registerMessages(allMessages);
	const asked = parseQuestion(method, url, options);
	const answers = await answersTo(asked, options);
	process.stdout.write(options.output === "table" ? renderAnswers(answers) : renderValue(answers, options.output));
	if (answers.some(({ allowed }) => !allowed)) throw new CommandError("", 1);
}

interface Asked {
	readonly host: string;
	readonly servicePort: number;
	readonly namespace: string;
	readonly question: Omit<Question, "port" | "destination" | "serverName">;
}

export function parseQuestion(method: string, url: string, options: CanIOptions): Asked {
	const parsed = URL.canParse(url) ? new URL(url) : undefined;
	if (parsed === undefined || !/^(?:https?|tcp|grpc):$/.test(parsed.protocol))
		throw new CommandError(`${url}: write http://HOST[:PORT]/PATH, or tcp://HOST:PORT`, 2);
	const [namespace = "", serviceAccount = ""] = options.from.split("/");
	if (namespace === "" || serviceAccount === "") throw new CommandError(`--from ${options.from}: write NAMESPACE/SERVICEACCOUNT`, 2);
	if (options.ip !== undefined && isIP(options.ip) === 0) throw new CommandError(`--ip ${options.ip}: this is no IP address`, 2);
	const headers = (options.header ?? []).map(parseHeader);
	const ip = options.ip ?? "0.0.0.0";
	const forwarded = headers
		.find(([name]) => name.toLowerCase() === "x-forwarded-for")?.[1]
		.split(",")
		.at(-1)
		?.trim();
	return {
		host: parsed.hostname,
		servicePort: Number(parsed.port || (parsed.protocol === "https:" ? 443 : 80)),
		namespace,
		question: {
			method,
			isTcp: parsed.protocol === "tcp:",
			// As it was typed: the URL parser has already resolved what the proxy is to judge.
			path: /^\w+:\/\/[^/?#]*([^#]*)/.exec(url)?.[1] || "/",
			authority: headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? parsed.host,
			headers: headers.filter(([name]) => name.toLowerCase() !== "host"),
			identity: options.plaintext ? undefined : `spiffe://${options.trustDomain}/ns/${namespace}/sa/${serviceAccount}`,
			sourceIp: ip,
			remoteIp: forwarded ?? ip,
			claims: options.jwtClaims === undefined ? undefined : parseClaims(options.jwtClaims),
		},
	};
}

function parseHeader(line: string): readonly [string, string] {
	const at = line.indexOf(":");
	if (at <= 0) throw new CommandError(`-H ${line}: write NAME: VALUE`, 2);
	return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}

function parseClaims(argument: string): Readonly<Record<string, unknown>> {
	try {
		const value: unknown = JSON.parse(argument.startsWith("@") ? readFileSync(argument.slice(1), "utf8") : argument);
		if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
	} catch (error) {
		throw new CommandError(`--jwt-claims: ${error instanceof Error ? error.message : String(error)}`, 2);
	}
	throw new CommandError(`--jwt-claims: write a JSON object, such as {"iss": "https://issuer", "sub": "alice"}, or @FILE`, 2);
}

async function answersTo({ host, servicePort, namespace, question }: Asked, options: CanIOptions): Promise<readonly Answer[]> {
	const paths = pathsOf(options);
	const ask = (pod: string, ip: string, port: number, serverName: string, listeners: readonly unknown[]): Answer => ({
		workload: pod,
		...decide(inboundChains(listeners), { ...question, port, serverName, destination: ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}` }),
	});
	const local = isLocal(paths, options);
	if (options.filename === undefined && !local) {
		const { pods, port, hostname } = await clusterTarget(await openCluster(options), { host, servicePort, namespace });
		const sni = `outbound_.${servicePort}_._.${hostname}`;
		return pods.map(({ name, ip, dump }) => ask(name, ip, port, sni, dump.listeners));
	}
	const push = pushOfFiles(options.filename ?? [paths.config, paths.runtime], options.meshConfig);
	const { service, port, pods } = resolveTarget(push, host, servicePort, namespace);
	const sni = `outbound_.${servicePort}_._.${service.hostname}`;
	const answers = pods.map(async (pod) => {
		const name = `${pod.name}.${pod.namespace}`;
		const listeners = options.filename === undefined ? (await localDump(name, paths)).listeners : translateAll(push, proxyNodeOf(pod, push)).lds;
		return ask(name, pod.ips[0] ?? "", port, sni, listeners);
	});
	return Promise.all(answers);
}

/** One line where all workloads say the same, else one each. */
export function renderAnswers(answers: readonly Answer[]): string {
	const groups = new Map<string, string[]>();
	for (const { workload, allowed, reason, notes } of answers) {
		const text = `${allowed ? "yes" : "no"}: ${reason}${notes.map((note) => `\n  ${note}`).join("")}`;
		groups.set(text, [...(groups.get(text) ?? []), workload]);
	}
	return [...groups].map(([text, workloads]) => `${text.replace(/(?=\n|$)/, ` (${workloads.join(", ")})`)}\n`).join("");
}
