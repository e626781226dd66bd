export { type AdsClient, type AdsNode, connectAds, sidecarNode } from "./ads-client.ts";
export { call, closeConnections, type HttpAnswer, type HttpCall, load, type LoadResult } from "./http.ts";
export { startTestMesh, type TestMesh, type TestMeshOptions } from "./local-mesh.ts";
export { type CommandResult, type RunningWeft, runWeft, startWeft } from "./weft-command.ts";
