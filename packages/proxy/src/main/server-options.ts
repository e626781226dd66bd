import type { Clock, Logger, LogLevel } from "@weft/runtime";
import type { NameTable } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import type { CallHeaders } from "../agent/agent-variables.ts";
import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";
import type { DecodeEnvironment } from "../config/decode/index.ts";
import type { Secret } from "../config/tls.ts";
import type { WorkerInit } from "../config/worker-messages.ts";
import type { GrpcEnvironment } from "../grpc/environment.ts";
import type { OnBootstrapPatch } from "./bootstrap-patch.ts";
import type { ComponentLevels } from "./loggers.ts";
import type { OnTrustRoots } from "./trust-updates.ts";
import type { WorkerEvents, WorkerPort } from "./worker-pool.ts";

export interface ServerOptions {
	readonly config: BootstrapConfig;
	readonly environment: DecodeEnvironment;
	readonly concurrency: number;
	/** Nobody said how many: one worker starts, and the others when there is work for them. */
	readonly workersOnDemand?: boolean;
	/** Of the data path. */
	readonly logLevel: LogLevel;
	/** Of single loggers, by their names. */
	readonly componentLevels?: ComponentLevels;
	/** How long lines of access logs may wait; one second where it is not said. */
	readonly accessLogFlushMs?: number | undefined;
	readonly version: string;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	/** Secrets of the workload identity, which this process obtains itself; they arrive by `setSecrets`. */
	readonly ownSecrets: ReadonlySet<string>;
	/** Those of them that are there already. */
	readonly initialSecrets: readonly Secret[];
	readonly secretsOverAds: boolean;
	/** The main thread's own, where there is one already. */
	readonly grpc?: GrpcEnvironment;
	/** Given the names of the mesh whenever they change; undefined: they are not asked for. */
	readonly onNames?: (table: NameTable) => void;
	/** Asks the control plane for the trusted roots, and takes them. */
	readonly onTrustRoots?: OnTrustRoots;
	/** Asks the control plane what it lays over the bootstrap, and says what is wrong with it. */
	readonly onBootstrapPatch?: OnBootstrapPatch;
	/** Goes with the ADS stream. */
	readonly xdsHeaders?: CallHeaders;
	/** Default: a thread that runs the data path. */
	readonly spawn?: (init: WorkerInit, events: WorkerEvents) => WorkerPort;
	/** Asked by the admin server to end the process. */
	readonly onQuit: () => void;
}
