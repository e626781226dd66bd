import type { ProbeAction } from "./probers.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * How a workload outside of Kubernetes is probed: `readinessProbe` of ProxyConfig, which Istio's tools fill with the WorkloadGroup's
 * `probe`. https://istio.io/latest/docs/reference/config/networking/workload-group/#ReadinessProbe
 */
export interface ReadinessProbe {
	readonly action: ProbeAction | { readonly kind: "exec"; readonly command: readonly [string, ...string[]] };
	/** Whom the probe asks; undefined: the workload's own address. */
	readonly host: string | undefined;
	/** Of an HTTP probe: `name, value, …`. */
	readonly headers: readonly string[];
	readonly initialDelayMs: number;
	readonly timeoutMs: number;
	readonly periodMs: number;
	readonly successThreshold: number;
	readonly failureThreshold: number;
}

const name = "ProxyConfig.readinessProbe";
const headersMax = 64;

/** The probe of a node's metadata, which holds its ProxyConfig. */
export function nodeReadinessProbe(metadata: Json): ReturnType<typeof decodeReadinessProbe> {
	const config = metadata["PROXY_CONFIG"];
	return decodeReadinessProbe(isObject(config) ? config["readinessProbe"] : undefined);
}

/** All problems at once; undefined where there is no probe. */
export function decodeReadinessProbe(value: unknown): { readonly value: ReadinessProbe | undefined; readonly errors: readonly string[] } {
	if (value === undefined || value === null) return { value: undefined, errors: [] };
	if (!isObject(value)) return { value: undefined, errors: [`${name}: an object is wanted`] };
	const errors: string[] = [];
	const whole = (field: string, fallback: number): number => {
		const given = value[field];
		if (given === undefined || given === 0) return fallback;
		if (typeof given === "number" && Number.isInteger(given) && given > 0 && given <= 86_400) return given;
		errors.push(`${name}.${field}: a whole number from 0 to 86400 is wanted, got ${JSON.stringify(given)}`);
		return fallback;
	};
	const method = decodeMethod(value, errors);
	const numbers = {
		initialDelayMs: whole("initialDelaySeconds", 0) * 1000,
		timeoutMs: whole("timeoutSeconds", 1) * 1000,
		periodMs: whole("periodSeconds", 10) * 1000,
		successThreshold: whole("successThreshold", 1),
		failureThreshold: whole("failureThreshold", 3),
	};
	return method === undefined || errors.length > 0 ? { value: undefined, errors } : { value: { ...method, ...numbers }, errors };
}

type Method = Pick<ReadinessProbe, "action" | "host" | "headers">;

function decodeMethod(probe: Json, errors: string[]): Method | undefined {
	const given = (["httpGet", "tcpSocket", "exec", "grpc"] as const).filter((method) => probe[method] !== undefined && probe[method] !== null);
	const [method] = given;
	const content = method === undefined ? undefined : probe[method];
	if (given.length !== 1 || method === undefined || !isObject(content)) {
		errors.push(`${name}: exactly one of httpGet, tcpSocket, exec and grpc is wanted`);
		return undefined;
	}
	const host = text(content["host"]) || undefined;
	if (method === "exec") return decodeExec(content["command"], errors);
	const { port } = content;
	if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) {
		errors.push(`${name}.${method}.port: a port is wanted, got ${JSON.stringify(port)}`);
		return undefined;
	}
	if (method === "tcpSocket") return { action: { kind: "tcp", port }, host, headers: [] };
	if (method === "grpc") return { action: { kind: "grpc", port, service: text(content["service"]) }, host: undefined, headers: [] };
	const path = text(content["path"]);
	const scheme = text(content["scheme"]).toUpperCase();
	if (!["", "HTTP", "HTTPS"].includes(scheme)) errors.push(`${name}.httpGet.scheme: HTTP or HTTPS is wanted, got ${scheme}`);
	const action = { kind: "http", port, path: path.startsWith("/") ? path : `/${path}`, isTls: scheme === "HTTPS" } as const;
	return { action, host, headers: decodeHeaders(content["httpHeaders"], errors) };
}

function decodeExec(command: unknown, errors: string[]): Method | undefined {
	const [program, ...rest] = Array.isArray(command) && command.every((part) => typeof part === "string") ? command : [];
	if (program !== undefined && program !== "") return { action: { kind: "exec", command: [program, ...rest] }, host: undefined, headers: [] };
	errors.push(`${name}.exec.command: a list of texts is wanted`);
	return undefined;
}

function decodeHeaders(value: unknown, errors: string[]): readonly string[] {
	if (value === undefined || value === null) return [];
	const headers =
		Array.isArray(value) && value.length <= headersMax ? value.map((header) => (isObject(header) ? [header["name"], header["value"] ?? ""] : [])) : [[]];
	const flat = headers.flat();
	if (headers.every(([one, other]) => typeof one === "string" && /^[\w!#$%&'*+.^`|~-]+$/.test(one) && typeof other === "string" && !/[\0\r\n]/.test(other)))
		return flat as string[];
	errors.push(`${name}.httpGet.httpHeaders: a list of at most ${headersMax} headers with name and value is wanted`);
	return [];
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
