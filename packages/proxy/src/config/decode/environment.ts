import type { DataSource } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { SdsSecretConfig } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { type At, report } from "./issues.ts";

/** What decoding may read beside the message: files and variables that it names. Tests give their own. */
export interface DecodeEnvironment {
	/** Throws when the file cannot be read. */
	readonly readFile: (path: string) => Uint8Array;
	readonly variable: (name: string) => string | undefined;
	/** Told of every secret that is to be fetched, and from where. */
	readonly onSecret?: (config: SdsSecretConfig) => void;
}

export function dataBytes(at: At, source: DataSource | undefined, environment: DecodeEnvironment): Uint8Array {
	if (source === undefined) return new Uint8Array(0);
	if (source.inlineBytes !== undefined) return source.inlineBytes;
	if (source.inlineString !== undefined) return Buffer.from(source.inlineString);
	if (source.environmentVariable !== undefined) {
		const value = environment.variable(source.environmentVariable);
		if (value === undefined) report(at, `environment variable ${source.environmentVariable} is not set`);
		return Buffer.from(value ?? "");
	}
	if (source.filename === undefined) return new Uint8Array(0);
	try {
		return environment.readFile(source.filename);
	} catch (error) {
		report(at, `unable to read file ${source.filename}: ${(error as Error).message}`);
		return new Uint8Array(0);
	}
}

export function dataText(at: At, source: DataSource | undefined, environment: DecodeEnvironment): string {
	return Buffer.from(dataBytes(at, source, environment)).toString("utf8");
}
