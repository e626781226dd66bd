import type { NetworkFilter } from "../../config/network-filters.ts";
import { ClusterCall } from "../../grpc/cluster-call.ts";
import { type CheckMessages, checkPath, destinationOf, loadCheckMessages, readCheck, sourceOf } from "../filters/check-attributes.ts";
import type { Counter } from "../filters/filter-inputs.ts";
import { responseFlags } from "../log/response-flags.ts";
import { mergeMetadata, type StreamInfo } from "../log/stream-info.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileMetadataMatch } from "../match/metadata-match.ts";
import type { WorkerContext } from "../worker/context.ts";
import { answered, type ConnectionTest } from "./connection-filters.ts";

const namespace = "envoy.filters.network.ext_authz";

/** Asks a service of `envoy.service.auth.v3.Authorization` whether a connection may be served (`ext_authz` for TCP). */
export function compileConnectionAuthorization(
	config: Extract<NetworkFilter, { kind: "extAuthz" }>,
	context: WorkerContext,
	errors: string[],
	counter: (name: string) => Counter,
): ConnectionTest {
	const compile = createCompileContext();
	const isEnabledBy = config.enabledMetadata && compileMetadataMatch(config.enabledMetadata, compile);
	errors.push(...compile.errors);
	const total = counter("total");
	const [ok, denied, error, disabled, failureModeAllowed, closed] = [
		counter("ok"),
		counter("denied"),
		counter("error"),
		counter("disabled"),
		counter("failure_mode_allowed"),
		counter("cx_closed"),
	] as const;
	const loading = loadCheckMessages();

	return (info, onVerdict) => {
		if (isEnabledBy !== undefined && !isEnabledBy(info.dynamicMetadata)) {
			disabled();
			onVerdict(undefined);
			return answered;
		}
		total();
		let call: ClusterCall | undefined;
		let isCancelled = false;
		void loading.then((messages) => {
			if (isCancelled) return;
			const cluster = context.snapshot.clusters.get(config.service.cluster);
			if (cluster === undefined) fail(onVerdict);
			else call = new ClusterCall(cluster, config.service, checkPath, encode(info, messages), (result) => judge(info, readCheck(result, messages), onVerdict));
			context.afterEvent();
		});
		return () => {
			isCancelled = true;
			call?.cancel();
		};
	};

	function encode({ connection, startTimeMs }: StreamInfo, { CheckRequest }: CheckMessages): Uint8Array {
		const seconds = Math.floor(startTimeMs / 1000);
		const attributes = {
			source: sourceOf(connection, config.sendsPeerCertificate, ""),
			destination: destinationOf(connection),
			request: { time: { seconds: BigInt(seconds), nanos: Math.round((startTimeMs - seconds * 1000) * 1e6) } },
			...(config.sendsServerName && connection.tls !== undefined ? { tlsSession: { sni: connection.requestedServerName } } : {}),
		};
		return CheckRequest.encode(CheckRequest.fromPartial({ attributes })).finish();
	}

	function judge(info: StreamInfo, answer: ReturnType<typeof readCheck>, onVerdict: (refused: string | undefined) => void): void {
		if (answer === undefined) return fail(onVerdict);
		if (answer.dynamicMetadata !== undefined) mergeMetadata(info, namespace, answer.dynamicMetadata);
		if ((answer.status?.code ?? 0) === 0) {
			ok();
			return onVerdict(undefined);
		}
		denied();
		closed();
		info.responseFlags |= responseFlags.UAEX;
		onVerdict("ext_authz_denied");
	}

	function fail(onVerdict: (refused: string | undefined) => void): void {
		error();
		if (config.failureModeAllow) {
			failureModeAllowed();
			return onVerdict(undefined);
		}
		closed();
		onVerdict("ext_authz_error");
	}
}
