import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Running, startPinned } from "./process-group.ts";
import { freePorts, waitForAnswer } from "./readiness.ts";

export const smallBodyBytes = 1024;
export const bulkBodyBytes = 1_048_576;
export const bulkPath = "/bulk";
export const grpcPath = "/bench.Echo/Unary";
export const spansPath = "/api/v2/spans/";

/** Compressed flag and length of a gRPC message. */
const grpcPrefixBytes = 5;
export const grpcBodyBytes = grpcPrefixBytes + smallBodyBytes;

export type Backends = {
	/** nginx: HTTP/1.1, and the collector of spans. */
	readonly http1Port: number;
	/** The same over HTTP/2 with prior knowledge. */
	readonly http2Port: number;
	/** nghttpd: a gRPC server that answers each call with the same message; undefined when it is not installed. */
	readonly grpcPort: number | undefined;
	/** A gRPC message, to be posted. */
	readonly grpcMessageFile: string;
	/** One line, the path, for each report of spans that came. */
	readonly spansLog: string;
	readonly pids: readonly number[];
	readonly stop: () => Promise<void>;
};

/**
 * Starts what the proxies proxy to, on one core, and waits until it answers.
 * @throws Error with what a backend printed, when one does not start
 */
export async function startBackends(nginx: string, nghttpd: string | undefined, parent: string, core: number): Promise<Backends> {
	const [http1Port = 0, http2Port = 0, grpcPort = 0] = await freePorts(3);
	const folder = join(parent, "backend");
	const grpcMessageFile = join(folder, "htdocs", grpcPath);
	const spansLog = join(folder, "spans.log");
	mkdirSync(dirname(grpcMessageFile), { recursive: true });
	writeFileSync(grpcMessageFile, grpcMessage());
	writeFileSync(join(folder, "bulk"), "x".repeat(bulkBodyBytes));
	const file = join(folder, "nginx.cfg");
	writeFileSync(file, buildBackendConfig(http1Port, http2Port, folder));
	const running: Running[] = [startPinned(core, [nginx, "-p", folder, "-c", file, "-g", "daemon off;"], folder)];
	const stop = async (): Promise<void> => {
		await Promise.all(running.map((process) => process.stop()));
	};
	const hasExited = () => running.some((process) => process.exited());
	try {
		await waitForAnswer({ url: `http://127.0.0.1:${http1Port}/`, kind: "http1", bodyBytes: smallBodyBytes }, hasExited);
		if (nghttpd !== undefined) {
			const flags = ["--no-tls", "-a", "127.0.0.1", "-d", join(folder, "htdocs"), "--trailer", "grpc-status: 0", String(grpcPort)];
			running.push(startPinned(core, [nghttpd, ...flags], folder));
			await waitForAnswer({ url: `http://127.0.0.1:${grpcPort}${grpcPath}`, kind: "grpc", bodyBytes: grpcBodyBytes, post: grpcMessage() }, hasExited);
		}
	} catch (error) {
		await stop();
		const said = running.map((process) => process.output().trim()).join("\n");
		throw new Error(`the backend: ${error instanceof Error ? error.message : String(error)}\n${said.slice(0, 2_000)}`, { cause: error });
	}
	return {
		http1Port,
		http2Port,
		grpcPort: nghttpd === undefined ? undefined : grpcPort,
		grpcMessageFile,
		spansLog,
		pids: running.map((process) => process.pid),
		stop,
	};
}

/** One uncompressed message with a payload of `smallBodyBytes`. */
export function grpcMessage(): Buffer {
	const message = Buffer.alloc(grpcBodyBytes, "x");
	message.writeUInt8(0, 0);
	message.writeUInt32BE(smallBodyBytes, 1);
	return message;
}

/** nginx as the backend: the same body from memory for every request, a file for bulk, and a log of the spans that came. */
export function buildBackendConfig(port: number, http2Port: number, folder: string): string {
	return `master_process off;
worker_processes 1;
error_log stderr error;
pid nginx.pid;
events { worker_connections 8192; }
http {
	access_log off;
	sendfile on;
	open_file_cache max=10;
	log_format spans "$uri";
	keepalive_requests 1000000000;
	keepalive_timeout 300s;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen 127.0.0.1:${port} backlog=1024;
		listen 127.0.0.1:${http2Port} http2 backlog=1024;
		location / { default_type text/plain; return 200 "${"x".repeat(smallBodyBytes)}"; }
		location = ${bulkPath} { root ${folder}; }
		location ${spansPath} { access_log ${join(folder, "spans.log")} spans; return 202; }
	}
}
`;
}
