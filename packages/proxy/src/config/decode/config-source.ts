import type { ConfigSource } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import type { ConfigFile } from "../http-connection-manager.ts";
import { type At, report } from "./issues.ts";

/** The file that a source names; undefined: it is no file, and the control plane is asked. */
export function decodeConfigSource(at: At, source: ConfigSource | undefined): ConfigFile | undefined {
	if (source?.apiConfigSource !== undefined) report(at, "api_config_source is not implemented here: use ads or path_config_source");
	return fileOfSource(source);
}

export function fileOfSource(source: ConfigSource | undefined): ConfigFile | undefined {
	const path = source?.pathConfigSource?.path ?? source?.path ?? "";
	return path === "" ? undefined : { path, watchedFolder: source?.pathConfigSource?.watchedDirectory?.path };
}
