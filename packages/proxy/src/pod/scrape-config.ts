import { podPorts } from "./pod-options.ts";

/** Where the application's metrics are. */
export interface ScrapeConfig {
	readonly port: number;
	readonly path: string;
}

/** Ports of the proxy: scraping them as the application's would loop, or show its statistics twice. */
const reserved: readonly number[] = [15_000, 15_001, 15_004, 15_006, 15_008, podPorts.status, 15_053, podPorts.prometheus];

/** ISTIO_PROMETHEUS_ANNOTATIONS: the pod's own `prometheus.io/*` annotations, which the injector has replaced. */
export function decodeScrapeConfig(
	text: string | undefined,
	statusPort: number,
): { readonly value: ScrapeConfig | undefined; readonly errors: readonly string[] } {
	const name = "ISTIO_PROMETHEUS_ANNOTATIONS";
	if (text === undefined || text === "") return { value: undefined, errors: [] };
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		return { value: undefined, errors: [`${name}: ${(error as Error).message}`] };
	}
	if (typeof json !== "object" || json === null) return { value: undefined, errors: [`${name}: a JSON object is wanted`] };
	const { scrape, path, port } = json as Readonly<Record<"scrape" | "path" | "port", unknown>>;
	if (scrape === "false") return { value: undefined, errors: [] };
	const number = port === undefined || port === "" ? 80 : Number(port);
	if (!Number.isInteger(number) || number < 1 || number > 65_535) return { value: undefined, errors: [`${name}: port ${JSON.stringify(port)} is none`] };
	if (number === statusPort || reserved.includes(number))
		return { value: undefined, errors: [`${name}: port ${number} is the proxy's own: prometheus.io/port must name the application's`] };
	const at = typeof path === "string" && path !== "" ? path : "/metrics";
	return { value: { port: number, path: at.startsWith("/") ? at : `/${at}` }, errors: [] };
}
