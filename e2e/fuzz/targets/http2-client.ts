import { fuzzSession } from "../session-invariants.ts";

/** What a server may send to a client's session that waits for three answers. */
export function fuzz(data: Buffer): void {
	fuzzSession(data, false);
}
