export { type Admitted, admitObjects, type ObjectCheck, withAge } from "./admission.ts";
export { type AnalysisOptions, analyzeSnapshot } from "./analysis/analysis.ts";
export { type Analyzer, analyzers } from "./analysis/analyzers.ts";
export { injectorConfigMap } from "./analysis/injector-values.ts";
export { diagnosticAt } from "./decode/locations.ts";
export { type DecodedYaml, decodeMeshConfig, decodeMeshNetworks, decodeValue, decodeYaml } from "./decode/yaml-decoder.ts";
export { aliasCountMax, anchorCountMax, fileBytesMax, nestingDepthMax, type ParsedDocument, parseDocuments } from "./decode/yaml-documents.ts";
export { compareAge, compareNames } from "./store/keys.ts";
export { sourcePrecedence, sources } from "./store/precedence.ts";
export type { StoreSnapshot } from "./store/snapshot.ts";
export {
	type ApplyResult,
	type ChangedObject,
	createStore,
	type Store,
	type StoreBatch,
	type StoreChange,
	type StoreOptions,
} from "./store/store.ts";
export { type DirectoryWatch, type WatchOptions, watchDirectory } from "./files/directory-watch.ts";
export { loadPaths } from "./files/loader.ts";
