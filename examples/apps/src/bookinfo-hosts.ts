import { type Environment, textFrom } from "./environment.ts";

/** Where a Bookinfo service is found: `DETAILS_HOSTNAME`, `DETAILS_SERVICE_PORT` and `SERVICES_DOMAIN`, as the well-known app reads them. */
export function serviceUrl(env: Environment, name: "details" | "ratings" | "reviews"): string {
	const prefix = name.toUpperCase();
	const domain = textFrom(env, "SERVICES_DOMAIN", "");
	const host = textFrom(env, `${prefix}_HOSTNAME`, name);
	const port = textFrom(env, `${prefix}_SERVICE_PORT`, "9080");
	return `http://${host}${domain === "" ? "" : `.${domain}`}:${port}`;
}
