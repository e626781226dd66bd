/** A container's probe or hook as the pod had it before injection; ports are numbers by then. */
export type Prober = ProbeAction & {
	/** 0: as long as whoever asked waits. */
	readonly timeoutMs: number;
};

export type ProbeAction =
	| { readonly kind: "http"; readonly port: number; readonly path: string; readonly isTls: boolean }
	| { readonly kind: "tcp"; readonly port: number }
	| { readonly kind: "grpc"; readonly port: number; readonly service: string };

const pathPattern = /^\/(app-health|app-lifecycle)\/[^/]+\/(livez|readyz|startupz|prestopz|poststartz)$/;
const proberMax = 1024;

type Json = Readonly<Record<string, unknown>>;

/** ISTIO_KUBE_APP_PROBERS: path → the original probe, in Kubernetes' own words. */
export function decodeProbers(text: string | undefined): { readonly value: ReadonlyMap<string, Prober>; readonly errors: readonly string[] } {
	const name = "ISTIO_KUBE_APP_PROBERS";
	const value = new Map<string, Prober>();
	if (text === undefined || text === "") return { value, errors: [] };
	const errors: string[] = [];
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		return { value, errors: [`${name}: ${(error as Error).message}`] };
	}
	if (!isObject(json)) return { value, errors: [`${name}: a JSON object is wanted`] };
	for (const [path, entry] of Object.entries(json).slice(0, proberMax)) {
		const prober = pathPattern.test(path)
			? decodeProber(entry)
			: "the path must be /app-health/CONTAINER/{livez,readyz,startupz} or /app-lifecycle/CONTAINER/…";
		if (typeof prober === "string") errors.push(`${name}: ${path}: ${prober}`);
		else value.set(path, prober);
	}
	return { value, errors };
}

function decodeProber(entry: unknown): Prober | string {
	if (!isObject(entry)) return "an object is wanted";
	const { httpGet, tcpSocket, grpc, timeoutSeconds = 0 } = entry;
	const given = [httpGet, tcpSocket, grpc].filter(isObject);
	if (given.length !== 1 || given[0] === undefined) return "exactly one of httpGet, tcpSocket and grpc is wanted";
	if (typeof timeoutSeconds !== "number" || timeoutSeconds < 0) return "timeoutSeconds must not be negative";
	const port = given[0]["port"];
	if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) return "the port must be a number";
	const timeoutMs = timeoutSeconds * 1000;
	if (isObject(tcpSocket)) return { kind: "tcp", port, timeoutMs };
	if (isObject(grpc)) return { kind: "grpc", port, service: text(grpc["service"]), timeoutMs };
	const { path, scheme } = given[0];
	const at = text(path);
	return { kind: "http", port, path: at.startsWith("/") ? at : `/${at}`, isTls: text(scheme).toUpperCase() === "HTTPS", timeoutMs };
}

function text(value: unknown): string {
	return typeof value === "string" ? value : "";
}

function isObject(value: unknown): value is Json {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
