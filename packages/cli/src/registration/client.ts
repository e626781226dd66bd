import { readFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { issueLocalToken } from "@weft/citadel";
import { readMesh, type StatePaths } from "../local/state.ts";
import { CommandError } from "../output/errors.ts";

/** Where a control plane takes registrations, and who asks. Files are read for every request: tokens and certificates are renewed. */
export interface RegistrationTarget {
	readonly host: string;
	readonly port: number;
	/** In the control plane's certificate. */
	readonly serverName: string;
	readonly rootCert: () => string;
	readonly credentials: () => { readonly token: string } | { readonly cert: string; readonly key: string };
}

export interface RegistrationAnswer {
	readonly status: number;
	/** JSON where the status is 2xx, else a text. */
	readonly text: string;
	/** The address from which this machine reaches the control plane. */
	readonly localAddress: string;
}

export interface TargetOptions {
	/** https://HOST:PORT; undefined: the mesh on this machine. */
	readonly server?: string;
	readonly serverName: string;
	readonly caFile?: string;
	readonly tokenFile?: string;
	readonly certFile?: string;
	readonly keyFile?: string;
	readonly namespace: string;
	readonly serviceAccount: string;
}

const timeoutMs = 10_000;
const answerBytesMax = 64 << 10;
/** Long enough for one request. */
const localTokenSeconds = 60;

/** Throws CommandError where options contradict each other, or no mesh runs on this machine. */
export function registrationTarget(options: TargetOptions, paths: StatePaths): RegistrationTarget {
	if (options.server === undefined) return localTarget(options, paths);
	const url = URL.canParse(options.server) ? new URL(options.server) : undefined;
	if (url?.protocol !== "https:") throw new CommandError(`--server: "${options.server}" is not of the form https://HOST:PORT`, 2);
	const { caFile, tokenFile, certFile, keyFile } = options;
	if (caFile === undefined) throw new CommandError("--server needs --ca-file: the roots that the control plane's certificate leads to", 2);
	if ((certFile === undefined) !== (keyFile === undefined)) throw new CommandError("--cert-file and --key-file belong together", 2);
	if ((tokenFile === undefined) === (certFile === undefined)) throw new CommandError("--server needs --token-file, or --cert-file and --key-file", 2);
	return {
		host: url.hostname.replace(/^\[|\]$/g, ""),
		port: Number(url.port) || 443,
		serverName: options.serverName,
		rootCert: () => read(caFile),
		credentials: () =>
			certFile !== undefined && keyFile !== undefined ? { cert: read(certFile), key: read(keyFile) } : { token: read(tokenFile ?? "").trim() },
	};
}

/** On this machine its owner may speak for every workload: the key of the launcher's tokens is theirs. */
function localTarget({ serverName, namespace, serviceAccount }: TargetOptions, paths: StatePaths): RegistrationTarget {
	const mesh = readMesh(paths);
	if (!mesh) throw new CommandError(`no mesh is running with state in ${paths.root}: start one with "weft up -f DIR", or name a control plane with --server`);
	if (mesh.httpsAddress === "") throw new CommandError(`the mesh is still starting (${mesh.message}): try again in a moment`);
	const [host = "", port = ""] = mesh.httpsAddress.split(":");
	const key = readFileSync(paths.tokenKey);
	return {
		host,
		port: Number(port),
		serverName,
		rootCert: () => read(join(paths.root, "root-cert.pem")),
		credentials: () => ({
			token: issueLocalToken(key, { ns: namespace, sa: serviceAccount, pod: "", exp: Math.floor(Date.now() / 1000) + localTokenSeconds }),
		}),
	};
}

function read(file: string): string {
	try {
		return readFileSync(file, "utf8");
	} catch (error) {
		throw new CommandError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
	}
}

/** Rejects where the control plane does not answer; every answer resolves. */
export function callRegistration(
	{ host, port, serverName, rootCert, credentials }: RegistrationTarget,
	method: "PUT" | "DELETE" | "POST",
	path: string,
	bodyOf?: (localAddress: string) => unknown,
): Promise<RegistrationAnswer> {
	const known = credentials();
	return new Promise((resolve, reject) => {
		const sent = request({
			host,
			port,
			method,
			path,
			ca: rootCert(),
			servername: serverName,
			agent: false,
			timeout: timeoutMs,
			...("token" in known ? { headers: { authorization: `Bearer ${known.token}`, "content-type": "application/json" } } : known),
		});
		let localAddress = "";
		sent.on("timeout", () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
		sent.on("error", reject);
		// The body may tell the address by which this machine is reached, known once there is a connection.
		sent.on("socket", (socket) => {
			socket.once("secureConnect", () => {
				localAddress = (socket.localAddress ?? "").replace(/^::ffff:/, "");
				sent.end(bodyOf === undefined ? undefined : JSON.stringify(bodyOf(localAddress)));
			});
		});
		sent.on("response", (response) => {
			let text = "";
			response.on("data", (chunk: Buffer) => {
				if (text.length < answerBytesMax) text += chunk.toString();
			});
			response.on("error", reject);
			response.on("end", () => resolve({ status: response.statusCode ?? 0, text: text.trim(), localAddress }));
		});
	});
}

export const instancePath = (namespace: string, name?: string): string =>
	`/registration/v1/namespaces/${encodeURIComponent(namespace)}/instances${name === undefined ? "" : `/${encodeURIComponent(name)}`}`;
