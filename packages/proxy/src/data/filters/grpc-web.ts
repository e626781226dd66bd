import { cleanValue } from "../codec/header-block.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { FilterInputs } from "./filter-inputs.ts";

interface WebCall {
	/** Both directions are in base64. */
	readonly isText: boolean;
	/** Base64 that does not make whole bytes yet. */
	carry: string;
	pending: Buffer;
	isActive: boolean;
}

const trailersFlag = 0x80;
const noBytes = Buffer.alloc(0);

/** gRPC-Web from browsers, which have no trailers, to gRPC: trailers become the last frame of the body (gRPC-Web protocol). */
export function compileGrpcWeb({ index }: FilterInputs): StreamFilter {
	return {
		onRequestHead({ request, filters, choice }) {
			const type = request.get("content-type") ?? "";
			const match = /^application\/grpc-web(-text)?(\+[a-z]+)?/.exec(type);
			if (match === null || choice === undefined) return "continue";
			const call: WebCall = { isText: match[1] !== undefined, carry: "", pending: noBytes, isActive: false };
			filters.states[index] = call;
			filters.seesRequestBody = filters.seesResponseBody = true;
			request.set("content-type", `application/grpc${match[2] ?? ""}`);
			if (request.remove("content-length")) {
				request.isChunked = true;
				request.contentLength = -1;
			}
			request.set("te", "trailers");
			request.set("grpc-accept-encoding", "identity,deflate,gzip");
			return "continue";
		},
		onRequestBody({ filters }, bytes) {
			const call = filters.states[index] as WebCall | undefined;
			if (call === undefined || !call.isText) return bytes;
			const text = call.carry + bytes.toString("latin1");
			const whole = text.length - (text.length % 4);
			call.carry = text.slice(whole);
			return decodeFrames(text.slice(0, whole));
		},
		onResponseHead({ request, response, filters }, hasBody) {
			const call = filters.states[index] as WebCall | undefined;
			if (call === undefined) return;
			const accepted = request.get("accept") ?? "";
			const isText = call.isText || accepted.includes("application/grpc-web-text");
			const type = response.get("content-type") ?? "";
			// What is no gRPC answer (an error page of a proxy between) passes as it is.
			if (!type.startsWith("application/grpc")) return;
			response.set("content-type", `application/grpc-web${isText ? "-text" : ""}${type.slice("application/grpc".length) || "+proto"}`);
			if (!hasBody) return;
			call.isActive = true;
			if (response.remove("content-length")) response.contentLength = -1;
		},
		onResponseBody({ filters }, bytes) {
			const call = filters.states[index] as WebCall | undefined;
			return call?.isActive === true && call.isText ? encodeText(call, bytes, false) : bytes;
		},
		onResponseEnd({ filters }, trailers) {
			const call = filters.states[index] as WebCall | undefined;
			if (call?.isActive !== true) return undefined;
			let text = "";
			for (let i = 0; i < trailers.length; i += 2) text += `${trailers[i]}:${cleanValue(trailers[i + 1] as string)}\r\n`;
			trailers.length = 0;
			const frame = Buffer.alloc(5 + text.length);
			frame[0] = trailersFlag;
			frame.writeUInt32BE(text.length, 1);
			frame.write(text, 5, "latin1");
			return call.isText ? encodeText(call, text === "" ? noBytes : frame, true) : text === "" ? undefined : frame;
		},
	};
}

/** Each message may end in padding of its own. */
function decodeFrames(text: string): Buffer {
	const parts = text.match(/[A-Za-z0-9+/]+={0,2}/g) ?? [];
	return parts.length === 1 ? Buffer.from(text, "base64") : Buffer.concat(parts.map((part) => Buffer.from(part, "base64")));
}

/** Whole groups of three bytes, and at the end what is left. */
function encodeText(call: WebCall, bytes: Buffer, isEnd: boolean): Buffer {
	const all = call.pending.length === 0 ? bytes : Buffer.concat([call.pending, bytes]);
	const whole = isEnd ? all.length : all.length - (all.length % 3);
	call.pending = Buffer.from(all.subarray(whole));
	return Buffer.from(all.toString("base64", 0, whole), "latin1");
}
