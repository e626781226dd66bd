import type { Clock, Logger } from "@weft/runtime";
import { openXdsStream } from "@weft/xds/client";
import type { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import type { CallHeaders } from "../agent/agent-variables.ts";
import { type BootstrapConfig, decodeBootstrap } from "../config/bootstrap/decode-bootstrap.ts";
import type { DecodeEnvironment } from "../config/decode/index.ts";
import type { Secret } from "../config/tls.ts";
import type { GrpcEnvironment } from "../grpc/environment.ts";
import { endpointText } from "../grpc/target.ts";
import { openXdsBytes } from "../grpc/xds-stream.ts";
import { fetchBootstrapPatch, mergeBootstrapPatch, type OnBootstrapPatch } from "./bootstrap-patch.ts";
import { resolveGrpcTarget } from "./grpc-target.ts";
import { nodeOf } from "./xds-node.ts";

export interface PatchOptions {
	/** As it is without the control plane. Its ADS server is asked. */
	readonly config: BootstrapConfig;
	readonly environment: DecodeEnvironment;
	readonly grpc: GrpcEnvironment;
	/** What the connection to the control plane needs. */
	readonly secrets: readonly Secret[];
	readonly xdsHeaders: CallHeaders;
	readonly version: string;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

export interface PatchedBootstrap {
	/** To be started with: without the patch where it was refused, or where there was no answer. */
	readonly config: BootstrapConfig;
	/** Says of each later answer what is wrong with it; a good one that differs waits for the next start. */
	readonly onBootstrapPatch: OnBootstrapPatch;
}

/** Asks the control plane what it lays over the bootstrap before there is anything else to ask it for. */
export async function askForBootstrap(options: PatchOptions): Promise<PatchedBootstrap> {
	const { config, environment, grpc, secrets, xdsHeaders, logger } = options;
	const service = config.message.dynamicResources?.adsConfig?.grpcServices[0];
	const found = resolveGrpcTarget(service, {
		cluster: (name) => config.clusters.find(({ value }) => value.cluster.name === name)?.value,
		secret: (name) => secrets.find((secret) => secret.name === name),
		readFile: environment.readFile,
	});
	if (typeof found === "string") throw new Error(`dynamic_resources.ads_config: ${found}`);
	const open = openXdsStream("delta", openXdsBytes(found.target, { ...xdsHeaders, ...found.metadata }, grpc));
	const patch = await fetchBootstrapPatch({ ...options, open, node: nodeOf(options), server: found.target.endpoints.map(endpointText).join(",") });
	return patchBootstrap(config, patch, environment, logger);
}

/** Lays over a bootstrap what the control plane answered (undefined: nothing). A patch that cannot be served is left out as a whole. */
export function patchBootstrap(base: BootstrapConfig, patch: Uint8Array | undefined, environment: DecodeEnvironment, logger: Logger): PatchedBootstrap {
	const first = decodePatched(base.message, patch ?? new Uint8Array(), environment);
	if (patch === undefined) logger.warn("the control plane does not say what it lays over the bootstrap: started without");
	if (typeof first === "string") logger.warn("what the control plane lays over the bootstrap is refused: started without", { error: first });
	const onBootstrapPatch: OnBootstrapPatch = (next) => {
		const decoded = decodePatched(base.message, next, environment);
		if (typeof decoded === "string") return decoded;
		if (!Buffer.from(next).equals(patch ?? new Uint8Array())) logger.warn("the bootstrap has changed: it is in force when this proxy is started again");
		return undefined;
	};
	return { config: typeof first === "string" ? base : first, onBootstrapPatch };
}

/** A text is what is wrong. */
function decodePatched(base: Bootstrap, patch: Uint8Array, environment: DecodeEnvironment): BootstrapConfig | string {
	try {
		const { value, errors } = decodeBootstrap(mergeBootstrapPatch(base, patch), environment);
		return value ?? errors.join("; ");
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}
