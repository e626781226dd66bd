import { type Connection, silentHandler } from "../../packages/proxy/src/data/transport/connection.ts";
import { Output } from "../../packages/proxy/src/data/transport/output.ts";

let written: Buffer[] = [];
/** Takes what is written. One for all, since outputs know connections by identity. */
const connection = {
	handler: silentHandler,
	write(bytes: Uint8Array) {
		written.push(Buffer.from(bytes));
		return "written";
	},
} as unknown as Connection;
const output = new Output();

/** The bytes that `write` sends. */
export function encode(write: (output: Output, connection: Connection) => void): Buffer {
	written = [];
	write(output, connection);
	output.flush();
	return Buffer.concat(written);
}
