import type { HttpsRoute } from "../https-server.ts";
import type { WebhookHandler } from "./admission-review.ts";

/** An object and its predecessor, each of what etcd takes at most, twice over for their JSON. */
const bodyBytesMax = 8 << 20;

/** An admission webhook under its path. */
export function webhookRoute(handler: WebhookHandler): HttpsRoute {
	return {
		path: handler.path,
		async handle({ method, url, headers, readBody }) {
			if (method !== "POST") return { status: 405, body: "method not allowed\n" };
			if (!/^application\/json\b/.test(headers["content-type"] ?? "")) return { status: 415, body: "the content type must be application/json\n" };
			return handler.handle({ body: await readBody(bodyBytesMax), url });
		},
	};
}
