export { call, closeConnections, type HttpAnswer, type HttpCall, load, type LoadResult } from "./http.ts";
export { startTestMesh, type TestMesh, type TestMeshOptions } from "./local-mesh.ts";
