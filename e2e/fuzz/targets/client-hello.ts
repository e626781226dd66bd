import { readClientHello } from "../../../packages/proxy/src/data/listener/client-hello.ts";
import { inspectHttp } from "../../../packages/proxy/src/data/listener/http-inspector.ts";
import { checkPrefixes } from "../prefixes.ts";

/** Once an inspector has judged a connection by its first bytes, those that follow do not contradict it. */
export function fuzz(data: Buffer): void {
	checkPrefixes(data, readClientHello, ({ kind }) => kind === "incomplete");
	checkPrefixes(data, inspectHttp, (verdict) => verdict === "incomplete");
}
