import { mergeAny, type MergeOptions } from "@weft/xds";
import type { TransportSocket } from "@weft/xds/generated/envoy/config/core/v3/base.ts";

/** A socket with the patch merged into its configuration; undefined where the patch is for another kind of socket. */
export function mergeSocket(socket: TransportSocket | undefined, patch: TransportSocket | undefined, options: MergeOptions): TransportSocket | undefined {
	if (socket?.typedConfig === undefined || patch?.typedConfig === undefined || socket.name !== patch.name) return undefined;
	const { typeUrl, value } = mergeAny(socket.typedConfig, patch.typedConfig, options);
	return { ...socket, typedConfig: { typeUrl, value } };
}
