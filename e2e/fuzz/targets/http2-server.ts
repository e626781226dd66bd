import { fuzzSession } from "../session-invariants.ts";

/** What a client may send to a server's session, from its first SETTINGS frame on. */
export function fuzz(data: Buffer): void {
	fuzzSession(data, true);
}
