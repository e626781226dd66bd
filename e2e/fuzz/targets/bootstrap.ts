import { decodeBootstrap } from "../../../packages/proxy/src/config/bootstrap/decode-bootstrap.ts";
import { loadBootstrap } from "../../../packages/proxy/src/config/bootstrap/load.ts";
import { registerImplemented } from "../../../packages/proxy/src/config/decode/index.ts";
import { check } from "../invariants.ts";

registerImplemented();

const environment = {
	readFile(path: string): Uint8Array {
		throw new Error(`no file ${path}`);
	},
	variable: () => undefined,
};

/** A file that is wrong is answered by lines that say where, not by an exception; and what is loaded can be decoded. */
export function fuzz(data: Buffer): void {
	const { bootstrap, errors } = loadBootstrap([{ name: "envoy.yaml", text: data.toString("utf8") }], { strict: false });
	check((bootstrap === undefined) === errors.length > 0, `${errors.length} errors and ${bootstrap === undefined ? "no" : "a"} bootstrap`);
	for (const error of errors) check(error.startsWith("envoy.yaml:"), `without a place: ${error}`);
	if (bootstrap === undefined) return;
	const decoded = decodeBootstrap(bootstrap, environment);
	check((decoded.value === undefined) === decoded.errors.length > 0, `${decoded.errors.length} errors of the decoder`);
}
