import { readFile, writeFile } from "node:fs/promises";
import type { Clock, Logger } from "@weft/runtime";
import { fromJson, type Json } from "@weft/xds";
import { openXdsStream } from "@weft/xds/client";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { registerImplemented } from "../config/decode/index.ts";
import type { GrpcEnvironment } from "../grpc/environment.ts";
import type { GrpcTarget } from "../grpc/target.ts";
import { openXdsBytes } from "../grpc/xds-stream.ts";
import { fetchBootstrapPatch, mergeBootstrapPatch } from "../main/bootstrap-patch.ts";
import type { AgentOptions } from "./arguments.ts";
import { validateEnvoyConfig } from "./envoy-process.ts";

export interface PatchEnvoyOptions {
	readonly options: AgentOptions;
	/** What Envoy starts with by itself. */
	readonly bootstrapPath: string;
	/** Of the relay, by which the control plane is asked. */
	readonly discoverySocket: string;
	readonly grpc: GrpcEnvironment;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

const connectTimeoutMs = 5_000;

/**
 * Asks the control plane what it lays over Envoy's bootstrap. Resolves to the path of the file to start with: without the patch
 * where there is no answer, or where Envoy itself refuses the outcome.
 */
export async function patchEnvoyBootstrap({ options, bootstrapPath, discoverySocket, ...rest }: PatchEnvoyOptions): Promise<string> {
	const { logger, grpc } = rest;
	const target: GrpcTarget = { endpoints: [{ kind: "pipe", path: discoverySocket }], authority: "localhost", connectTimeoutMs, tls: undefined };
	const { id, cluster, metadata, locality } = options.node;
	const node = Node.fromPartial({ id, cluster, metadata, ...(locality && { locality }), userAgentName: "envoy" });
	const open = openXdsStream("delta", openXdsBytes(target, {}, grpc));
	const patch = await fetchBootstrapPatch({ ...rest, open, node, server: options.discoveryAddress });
	if (patch === undefined) {
		if (!rest.signal.aborted) logger.warn("the control plane does not say what it lays over the bootstrap: started without");
		return bootstrapPath;
	}
	if (patch.length === 0) return bootstrapPath;
	registerImplemented();
	const base = fromJson("envoy.config.bootstrap.v3.Bootstrap", JSON.parse(await readFile(bootstrapPath, "utf8")) as Json) as Bootstrap;
	// Binary: the patch may hold extensions that this process knows nothing of.
	const patchedPath = bootstrapPath.replace(/\.json$/, ".pb");
	await writeFile(patchedPath, Bootstrap.encode(mergeBootstrapPatch(base, patch)).finish(), { mode: 0o600 });
	const refusal = await validateEnvoyConfig(options.envoyPath, patchedPath, options.envoyArguments);
	if (refusal === undefined) return patchedPath;
	logger.warn("Envoy refuses what the control plane lays over the bootstrap: started without", { error: refusal });
	return bootstrapPath;
}
