import type { GrpcAccessLog } from "../../config/access-logs.ts";
import { compileCustomTags } from "../tracing/custom-tags.ts";
import type { WorkerContext } from "../worker/context.ts";
import { compileLogFilter, type LogStream } from "./access-log.ts";
import { buildHttpEntry, buildTcpEntry, type EntryOptions } from "./grpc-log-entry.ts";

/** Access logs as entries of Envoy's access log service (`envoy.service.accesslog.v3`). */
export function compileGrpcLog(
	log: GrpcAccessLog,
	context: WorkerContext,
): { readonly value: LogStream; readonly errors: readonly string[]; readonly close: () => void } {
	const errors: string[] = [];
	const filter = log.filter && compileLogFilter(log.filter, errors, context);
	const stream = context.logServices.acquire(log, context);
	const options: EntryOptions = { ...log, customTags: compileCustomTags(log.customTags, context.environment) };
	// The entry is made at once: what it is made of is the next request's soon.
	const add: LogStream =
		log.protocol === "http"
			? (info) => {
					const entry = buildHttpEntry(info, options);
					stream.add(({ HTTPAccessLogEntry }) => HTTPAccessLogEntry.encode(HTTPAccessLogEntry.fromPartial(entry)).finish());
				}
			: (info) => {
					const entry = buildTcpEntry(info, options);
					stream.add(({ TCPAccessLogEntry }) => TCPAccessLogEntry.encode(TCPAccessLogEntry.fromPartial(entry)).finish());
				};
	const value: LogStream = filter === undefined ? add : (info) => void (filter(info) && add(info));
	return { value, errors, close: () => context.logServices.release(log) };
}
