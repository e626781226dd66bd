import { GrpcWeb } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_web/v3/grpc_web.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilterBuilder } from "./filter.ts";

const filter = { name: "envoy.filters.http.grpc_web", typedConfig: packed("envoy.extensions.filters.http.grpc_web.v3.GrpcWeb", GrpcWeb, {}) };

/** On ports that say so. A call that is gRPC already, such as one that a client's own proxy has turned into it, passes as it is. */
export const buildGrpcWeb: HttpFilterBuilder = ({ grpcWeb }) => (grpcWeb ? filter : undefined);
