import { parseDurationMs } from "@weft/api";
import { type Clock, systemClock } from "@weft/runtime";
import { CommandError } from "../output/errors.ts";
import { healthCheck } from "../registration/check.ts";
import { callRegistration, instancePath, registrationTarget, type RegistrationTarget, type TargetOptions } from "../registration/client.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface RegisterOptions extends TargetOptions, StateOptions {
	readonly name?: string;
	readonly address?: string;
	readonly port: readonly string[];
	readonly label: readonly string[];
	readonly network?: string;
	readonly locality?: string;
	readonly weight?: string;
	readonly ttl: string;
	readonly check?: string;
	readonly once?: boolean;
}

/** Heartbeats in a TTL: one may be late, and one lost. */
const heartbeatsPerTtl = 3;

/** Registers an instance, and renews it until SIGINT or SIGTERM; then takes it out. */
export async function registerCommand(service: string, options: RegisterOptions): Promise<void> {
	const ttlMs = parseDurationMs(options.ttl);
	if (ttlMs === undefined || ttlMs <= 0) throw new CommandError(`--ttl: "${options.ttl}" is not a duration such as 30s`, 2);
	const instance = instanceOf(service, options);
	const check = options.check === undefined ? async () => undefined : healthCheck(options.check);
	const target = registrationTarget(options, pathsOf(options));
	const stopping = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
	const common = { target, namespace: options.namespace, instance, check, clock: systemClock, signal: stopping.signal };
	const name = await register(common, options.name);
	const interval = `${ttlMs / heartbeatsPerTtl / 1000}s`;
	const state = options.once ? `without a heartbeat it drains after ${options.ttl}` : `a heartbeat every ${interval}; Ctrl-C deregisters it`;
	process.stdout.write(`instance ${options.namespace}/${name} registered: ${state}\n`);
	if (options.once) return;
	await renew({ ...common, name, intervalMs: ttlMs / heartbeatsPerTtl, warn: (text) => process.stderr.write(`${text}\n`) });
	const { status, text } = await callRegistration(target, "DELETE", instancePath(options.namespace, name)).catch((error: Error) => ({
		status: 0,
		text: error.message,
	}));
	if (status !== 200 && status !== 404) throw new CommandError(`instance ${options.namespace}/${name} not deregistered, it drains by itself: ${text}`);
	process.stdout.write(`instance ${options.namespace}/${name} deregistered\n`);
}

export async function deregisterCommand(name: string, options: TargetOptions & StateOptions): Promise<void> {
	const target = registrationTarget(options, pathsOf(options));
	const { status, text } = await callRegistration(target, "DELETE", instancePath(options.namespace, name)).catch(unreachable);
	if (status !== 200) throw new CommandError(text);
	process.stdout.write(`instance ${options.namespace}/${name} deregistered\n`);
}

interface Renewal {
	readonly target: RegistrationTarget;
	readonly namespace: string;
	readonly instance: (localAddress: string) => object;
	readonly check: () => Promise<string | undefined>;
	readonly clock: Clock;
	readonly signal: AbortSignal;
}

/** The instance's name, as the control plane has it. */
async function register({ target, namespace, instance, check }: Renewal, name: string | undefined): Promise<string> {
	const problem = await check();
	const body = (address: string) => ({ ...instance(address), ...healthOf(problem) });
	const { status, text } = await callRegistration(target, name === undefined ? "POST" : "PUT", instancePath(namespace, name), body).catch(unreachable);
	if (status !== 200 && status !== 201) throw new CommandError(text);
	return (JSON.parse(text) as { readonly name: string }).name;
}

/** A control plane that is away is waited for; one that says no is believed. Ends with `signal`. */
async function renew({
	target,
	namespace,
	instance,
	check,
	clock,
	signal,
	name,
	intervalMs,
	warn,
}: Renewal & { readonly name: string; readonly intervalMs: number; warn(text: string): void }) {
	let isFailing = false;
	while (!signal.aborted) {
		await clock.sleep(intervalMs, signal);
		if (signal.aborted) return;
		const problem = await check();
		const body = (address: string) => ({ ...instance(address), ...healthOf(problem) });
		const answer = await callRegistration(target, "PUT", instancePath(namespace, name), body).catch((error: Error) => error);
		const failure = answer instanceof Error ? answer.message : answer.status >= 500 ? answer.text : undefined;
		if (failure !== undefined && !isFailing) warn(`warning: no heartbeat got through, trying on: ${failure}`);
		if (failure === undefined && isFailing) warn("heartbeats get through again");
		isFailing = failure !== undefined;
		if (!(answer instanceof Error) && answer.status >= 400 && answer.status < 500)
			throw new CommandError(`instance ${namespace}/${name} is not renewed: ${answer.text}`);
	}
}

const healthOf = (problem: string | undefined) => (problem === undefined ? {} : { healthy: false, message: problem });

function unreachable(error: Error): never {
	throw error instanceof CommandError ? error : new CommandError(`the control plane does not answer: ${error.message}`);
}

/** The body of a registration, but for its health. */
function instanceOf(service: string, options: RegisterOptions): (localAddress: string) => object {
	const { name, network, locality, weight, ttl } = options;
	const ports = Object.fromEntries(options.port.map((text) => pair("--port", text)).map(([key, value]) => [key, numberOf("--port", value)]));
	const labels = Object.fromEntries(options.label.map((text) => pair("--label", text)));
	const rest = {
		service,
		ttl,
		...(name !== undefined && { name }),
		...(options.port.length > 0 && { ports }),
		...(options.label.length > 0 && { labels }),
		...(network !== undefined && { network }),
		...(locality !== undefined && { locality }),
		...(weight !== undefined && { weight: numberOf("--weight", weight) }),
	};
	return (localAddress) => ({ ...rest, address: options.address ?? localAddress });
}

function pair(flag: string, text: string): readonly [string, string] {
	const at = text.indexOf("=");
	if (at < 1) throw new CommandError(`${flag}: "${text}" is not of the form NAME=VALUE`, 2);
	return [text.slice(0, at), text.slice(at + 1)];
}

function numberOf(flag: string, text: string): number {
	if (!/^\d{1,9}$/.test(text)) throw new CommandError(`${flag}: "${text}" is not a number`, 2);
	return Number(text);
}
