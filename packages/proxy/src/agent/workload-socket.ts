import { rm } from "node:fs/promises";
import { connect } from "node:net";
import type { Logger } from "@weft/runtime";
import { type GrpcSocketServer, serveGrpcSocket } from "../grpc/socket-server.ts";
import { createSecretService } from "./secret-service.ts";
import { createWorkloadApi } from "./workload-api.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

export interface WorkloadSocketOptions {
	readonly path: string;
	readonly identity: WorkloadIdentity;
	/** Revocation lists that peers are held against; "" : none. */
	readonly crlPem: () => string;
	readonly logger: Logger;
}

export interface WorkloadSocket extends GrpcSocketServer {
	/** The revocation lists have changed. */
	refresh(): void;
}

const connectTimeoutMs = 1_000;

/** Does somebody serve at this path? */
export function isAnswered(path: string): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect({ path, timeout: connectTimeoutMs });
		const say = (answer: boolean) => {
			socket.destroy();
			resolve(answer);
		};
		socket.once("connect", () => say(true));
		socket.once("error", () => say(false));
		socket.once("timeout", () => say(false));
	});
}

/**
 * The SPIFFE Workload API and SDS (`default`, `ROOTCA`) on one Unix socket, as SPIRE's agent serves them: for applications that
 * bring their own TLS, and for gRPC without a proxy. Whoever can reach the path may connect: the pod mounts it where it is wanted.
 * A socket that nobody answers is taken over. Rejects where it cannot be made.
 */
export async function serveWorkloadSocket({ path, identity, crlPem, logger }: WorkloadSocketOptions): Promise<WorkloadSocket> {
	await rm(path, { force: true });
	const api = createWorkloadApi(identity, crlPem);
	const secrets = createSecretService({ identity, crlPem, logger });
	const stop = () => {
		api.stop();
		secrets.stop();
	};
	try {
		const server = await serveGrpcSocket({ path, access: "all", methods: { ...api.methods, ...secrets.methods }, logger });
		logger.info("Workload API and SDS are served", { socket: path });
		return {
			refresh() {
				api.refresh();
				secrets.refresh();
			},
			close() {
				stop();
				return server.close();
			},
		};
	} catch (error) {
		stop();
		throw error;
	}
}
