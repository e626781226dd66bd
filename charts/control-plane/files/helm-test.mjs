// `helm test`: the control plane is ready, a new pod gets its proxy, and a broken object is refused. Nothing is left behind:
// both objects are dry runs on the server.
import { readFileSync } from "node:fs";
import { request as http } from "node:http";
import { request as https } from "node:https";

const { ISTIOD, NAMESPACE, REVISION, VALIDATED, KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT } = process.env;
const account = "/var/run/secrets/kubernetes.io/serviceaccount";

function send(open, options, body) {
	return new Promise((resolve, reject) => {
		const call = open({ timeout: 10_000, ...options }, (response) => {
			const chunks = [];
			response.on("data", (chunk) => chunks.push(chunk));
			response.on("end", () => resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() }));
			response.on("error", reject);
		});
		call.on("timeout", () => call.destroy(new Error("no answer within 10 s")));
		call.on("error", reject);
		call.end(body === undefined ? undefined : JSON.stringify(body));
	});
}

const create = (path, object) =>
	send(
		https,
		{
			host: KUBERNETES_SERVICE_HOST,
			port: KUBERNETES_SERVICE_PORT,
			method: "POST",
			path: `${path}?dryRun=All`,
			ca: readFileSync(`${account}/ca.crt`),
			headers: { authorization: `Bearer ${readFileSync(`${account}/token`, "utf8")}`, "content-type": "application/json" },
		},
		object,
	);

const checks = {
	"the control plane is ready": async () => {
		const { status, text } = await send(http, { host: ISTIOD, port: 15014, path: "/ready" });
		if (status !== 200) throw new Error(`http://${ISTIOD}:15014/ready answers ${status}: ${text}`);
	},
	// A gateway's pod: it needs no init container, which a namespace with the restricted standard would refuse.
	"a new pod gets its proxy": async () => {
		const labels = { "sidecar.istio.io/inject": "true", ...(REVISION === "default" ? {} : { "istio.io/rev": REVISION }) };
		const metadata = { generateName: "weft-test-", labels, annotations: { "inject.istio.io/templates": "gateway" } };
		const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };
		const spec = {
			securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
			containers: [{ name: "istio-proxy", image: "auto", securityContext }],
		};
		const { status, text } = await create(`/api/v1/namespaces/${NAMESPACE}/pods`, { apiVersion: "v1", kind: "Pod", metadata, spec });
		if (status !== 201) throw new Error(`the API server answers ${status}: ${text}`);
		const proxy = JSON.parse(text).spec.containers.find(({ name }) => name === "istio-proxy");
		if (proxy?.image === "auto") throw new Error("the pod came back as it was sent: no webhook was asked");
	},
	"a broken VirtualService is refused": async () => {
		if (VALIDATED !== "true") return "not checked: global.configValidation is false";
		const metadata = { generateName: "weft-test-", labels: { "istio.io/rev": REVISION } };
		const spec = { hosts: ["weft-test"], http: [{ route: [{ destination: { host: "a" }, weight: -1 }] }] };
		const path = `/apis/networking.istio.io/v1/namespaces/${NAMESPACE}/virtualservices`;
		const { status, text } = await create(path, { apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata, spec });
		if (status === 201) throw new Error("a VirtualService with a negative weight was accepted");
		if (status !== 400 && status !== 403 && status !== 422) throw new Error(`the API server answers ${status}: ${text}`);
	},
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
	try {
		const note = await check();
		console.log(`✔ ${name}${note ? ` (${note})` : ""}`);
	} catch (error) {
		failed++;
		console.log(`✘ ${name}: ${error.message}`);
	}
}
process.exit(failed === 0 ? 0 : 1);
