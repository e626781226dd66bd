export { type LaunchOptions, type LocalMesh, launchMesh } from "./local/launcher.ts";
export { connectMesh, type MeshClient, readSources, type SourceFile } from "./local/mesh-client.ts";
export { statePaths, type StatePaths } from "./local/state.ts";
