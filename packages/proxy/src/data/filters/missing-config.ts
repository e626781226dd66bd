import { sendLocalReply } from "../http/local-reply.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { responseFlags } from "../log/response-flags.ts";

/** In place of a filter whose configuration has not come (ECDS): what it would have done to the request is not known. */
export const missingConfig: StreamFilter = {
	onRequestHead(stream) {
		sendLocalReply(stream, { status: 500, body: "", flags: responseFlags.NFCF, details: "" });
		return "stop";
	},
};
