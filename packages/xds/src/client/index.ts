export type { DiscoveryService, OwnServiceType } from "./methods.ts";
export { paceRequests, type RequestRate } from "./paced-stream.ts";
export {
	type ByteStream,
	type ByteStreamEvents,
	type OpenByteStream,
	type OpenStream,
	openXdsStream,
	responseBytesMax,
	type StreamEvents,
	type XdsStream,
} from "./stream.ts";
export {
	type ApplyUpdate,
	createXdsClient,
	type RejectedResource,
	type XdsClient,
	type XdsClientOptions,
	type XdsResource,
	type XdsUpdate,
} from "./xds-client.ts";
