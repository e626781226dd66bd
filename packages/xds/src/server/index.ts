export {
	type AdsDelegate,
	type AdsServerOptions,
	adsService,
	type DebugAnswer,
	type DebugQuestion,
	type Peer,
	RefusedError,
	requestBytesMax,
	type XdsClient,
} from "./ads-server.ts";
export { type EncodedResource, pushOrder, type ResourceView, wildcardTypes } from "./resource.ts";
export type { StreamState } from "./stream.ts";
