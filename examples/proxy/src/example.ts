import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "yaml";

export const examplesFolder = dirname(import.meta.dirname);

/** `example.yaml`: what runs beside the proxy, and what to try. */
export interface Example {
	readonly name: string;
	readonly folder: string;
	readonly summary: string;
	readonly services: readonly ExampleService[];
	/** Written to `certs/NAME.crt` and `.key`, with `certs/ca.crt`; the values are DNS names. */
	readonly certificates: Readonly<Record<string, readonly string[]>>;
	/** `jwks.json`, and a token of this issuer in `token.txt`. */
	readonly tokenIssuer: string | undefined;
	readonly try: readonly string[];
}

export interface ExampleService {
	/** One of `examples/apps`, or of `src/services`. */
	readonly app: string;
	readonly port: number;
	readonly env: Readonly<Record<string, string>>;
}

export function exampleNames(): readonly string[] {
	return readdirSync(examplesFolder).filter((name) => existsSync(join(examplesFolder, name, "example.yaml")));
}

/** Throws when there is no such example. */
export function loadExample(name: string): Example {
	if (!exampleNames().includes(name)) throw new Error(`no example ${name}: there are ${exampleNames().join(", ")}`);
	const folder = join(examplesFolder, name);
	const file = parse(readFileSync(join(folder, "example.yaml"), "utf8")) as Partial<Example>;
	return {
		name,
		folder,
		summary: file.summary ?? "",
		services: (file.services ?? []).map((service) => ({ ...service, env: service.env ?? {} })),
		certificates: file.certificates ?? {},
		tokenIssuer: file.tokenIssuer,
		try: file.try ?? [],
	};
}
