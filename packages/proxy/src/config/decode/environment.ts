import type { DataSource } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { ResourceSource } from "../resource-source.ts";
import { type At, report } from "./issues.ts";

/** What decoding may read beside the message: files and variables that it names. Tests give their own. */
export interface DecodeEnvironment {
	/** Throws when the file cannot be read. */
	readonly readFile: (path: string) => Uint8Array;
	readonly variable: (name: string) => string | undefined;
	/** Names of the clusters that management servers may be in; undefined: not known here, and any will do. */
	readonly managementClusters?: ReadonlySet<string>;
	/** Where what is decoded came from, which is what `self` stands for; undefined: in line or from a file. */
	readonly origin?: ResourceSource;
	/** Secrets that an agent's socket would give come over ADS: this process is the agent. */
	readonly secretsOverAds?: boolean;
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
