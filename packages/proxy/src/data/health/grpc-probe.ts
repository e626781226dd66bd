import type { GrpcProbe, ProbeResult } from "../../config/health-check.ts";
import { type AsyncResult, AsyncRequest } from "../upstream/async-request.ts";
import { probeHeaders } from "./probe-headers.ts";
import type { ProbeTarget } from "./prober.ts";

// grpc.health.v1: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
// HealthCheckRequest { string service = 1 }, HealthCheckResponse { ServingStatus status = 1 }.

const path = "/grpc.health.v1.Health/Check";
const serving = 1;
const answerBytesMax = 64 * 1024;

export function probeGrpc({ cluster, entry, check, authority }: ProbeTarget, probe: GrpcProbe, onResult: (result: ProbeResult) => void): void {
	const own = ["content-type", "application/grpc", "te", "trailers", "grpc-timeout", `${Math.ceil(check.timeoutMs)}m`, "user-agent", "Envoy/HC"];
	const { authority: host, headers } = probeHeaders(probe.authority || authority, own, probe.metadata);
	const request = { method: "POST", authority: host, path, headers, body: encodeRequest(probe.service), timeoutMs: check.timeoutMs };
	new AsyncRequest(cluster, { ...request, bodyBytesMax: answerBytesMax, host: entry, isBare: true }, (result) => onResult(judge(result)));
}

/** In a gRPC frame: not compressed, length, message. */
export function encodeRequest(service: string): Buffer {
	const name = Buffer.from(service);
	const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
	const header = Buffer.alloc(5);
	header.writeUInt32BE(message.length, 1);
	return Buffer.concat([header, message]);
}

function varint(value: number): readonly number[] {
	return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

function judge(result: AsyncResult): ProbeResult {
	if (result.kind === "failed") return { kind: "network", timeout: result.reason === "timeout", detail: result.reason };
	const bad = (detail: string): ProbeResult => ({ kind: "bad", retriable: false, immediateFail: false, detail });
	const { response, body, trailers } = result;
	if (response.status !== 200) return bad(`HTTP status ${response.status}`);
	const status = trailers.get("grpc-status") ?? response.get("grpc-status");
	if (status !== "0") return bad(`gRPC status ${status ?? "missing"}`);
	const served = decodeStatus(body);
	return served === serving ? { kind: "good", degraded: false } : bad(`serving status ${served ?? "missing"}`);
}

/** The status of the one message in `body`; undefined: that is no such message. */
export function decodeStatus(body: Buffer): number | undefined {
	if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return undefined;
	const message = body.subarray(5);
	// proto3 leaves out what is 0 (UNKNOWN).
	if (message.length === 0) return 0;
	return message[0] === 0x08 && message.length === 2 ? message[1] : undefined;
}
