import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLogger, type Logger, systemClock } from "@weft/runtime";
import { controlPlaneServerName, createCertificateOverGrpc } from "../agent/certificate-client.ts";
import { openCredentials } from "../agent/credentials.ts";
import { certSignerOf } from "../agent/requested-id.ts";
import { readRootsSync, rootsFrom } from "../agent/text-source.ts";
import type { WorkloadCertificate } from "../agent/workload-certificate.ts";
import { type BootstrapConfig, decodeBootstrap } from "../config/bootstrap/decode-bootstrap.ts";
import { type DecodeEnvironment, registerImplemented } from "../config/decode/index.ts";
import type { Secret } from "../config/tls.ts";
import { transportKind } from "../data/transport/transport.ts";
import { createGrpcEnvironment, type GrpcEnvironment } from "../grpc/environment.ts";
import type { NameTable } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import { startPodDns } from "../dns/pod-dns.ts";
import { drainInPod } from "../pod/pod-drain.ts";
import type { PodOptions } from "../pod/pod-options.ts";
import { createPodServices, type PodProxy } from "../pod/pod-services.ts";
import { drainUntilIdle, superviseServer } from "./lifetime.ts";
import type { OnBootstrapPatch } from "./bootstrap-patch.ts";
import { askForBootstrap } from "./patched-bootstrap.ts";
import { followRevocations } from "./revocations.ts";
import { type Server, startServer } from "./server.ts";
import { buildSidecarBootstrap, controlPlaneSecret, rootsSecret, workloadSecret } from "./sidecar-bootstrap.ts";
import { instanceIpsOf, parseSidecarFlags, type SidecarFlags, sidecarHelp } from "./sidecar-flags.ts";
import type { OnTrustRoots } from "./trust-updates.ts";
import { version } from "../config/version.ts";

/** Istio's default for its sidecars. */
const concurrencyDefault = 2;
const ownSecrets: ReadonlySet<string> = new Set([workloadSecret, rootsSecret, controlPlaneSecret]);

/** `weft-proxy sidecar …`: what Istio's agent and its Envoy do together. Resolves to the exit code. */
export async function runSidecar(args: readonly string[], variables: NodeJS.ProcessEnv): Promise<number> {
	const parsed = parseSidecarFlags(args, process.env);
	if (parsed.kind === "help") {
		process.stdout.write(sidecarHelp);
		return 0;
	}
	if (parsed.kind === "error") {
		process.stderr.write(`weft-proxy sidecar: ${parsed.message}\nSee weft-proxy sidecar --help.\n`);
		return 2;
	}
	return runServing(parsed.flags, variables, createLogger({ level: parsed.flags.logLevel, scope: "proxy" }));
}

/** Obtains the identity and serves until told to end, whatever the flags were read from. Resolves to the exit code. */
export async function runServing(flags: SidecarFlags, variables: NodeJS.ProcessEnv, logger: Logger): Promise<number> {
	registerImplemented();
	const abort = new AbortController();
	try {
		return await serve(flags, variables, logger, abort);
	} catch (error) {
		// Told to end before there was anything to serve: that is no failure.
		if (abort.signal.aborted) {
			logger.info("stopped before it was ready");
			return 0;
		}
		logger.error("could not be started", { error });
		return 1;
	} finally {
		abort.abort();
	}
}

async function serve(flags: SidecarFlags, variables: NodeJS.ProcessEnv, logger: Logger, abort: AbortController): Promise<number> {
	let isStarting = true;
	const stop = () => {
		if (isStarting) abort.abort();
	};
	process.once("SIGTERM", stop);
	process.once("SIGINT", stop);
	const serverName = flags.serverName ?? controlPlaneServerName;
	const common = { clock: systemClock, random: Math.random };
	const grpc = await createGrpcEnvironment({ ...common, transport: transportKind(process.env), logger: logger.child("grpc") });
	const createCertificate = createCertificateOverGrpc(grpc, flags.caHeaders);
	const pod = flags.pod && createPodServices(flags.pod, createCertificate, systemClock, logger.child("status"));
	const revocations = followRevocations(flags.crlFile, systemClock, logger.child("identity"));
	const credentials = await openCredentials(flags.credentials, {
		...common,
		authority: {
			createCertificate: pod?.createCertificate ?? createCertificate,
			caAddress: flags.caAddress,
			rootCert: rootsFrom(flags.caRootCertFile ?? flags.rootCertFile),
			requestedId: flags.requestedId,
			certSigner: certSignerOf(flags.nodeMetadata),
			token: flags.tokenFile === undefined ? { text: "" } : { file: flags.tokenFile },
			serverName: flags.caServerName ?? serverName,
			ttlMs: flags.secretTtlMs,
			clusterId: clusterIdOf(flags),
		},
		crlPem: revocations.pem,
		nodeId: flags.nodeId,
		environment: grpc,
		logger: logger.child("identity"),
	});
	abort.signal.addEventListener("abort", () => void credentials.close(), { once: true });
	const { identity } = credentials;
	await pod?.start(identity);
	void pod?.quit.then(stop);
	const running = identity.run(abort.signal);
	const environment: DecodeEnvironment = {
		readFile: (path) => readFileSync(path),
		variable: (name) => variables[name],
		secretsOverAds: true,
	};
	const config = decodeSidecar(flags, serverName, environment);
	// Without a certificate the control plane would not answer: there is nothing to serve before.
	const certificate = await identity.ready(abort.signal);
	const initialSecrets = secretsOf(certificate, flags.rootCertFile, revocations.pem());
	const asking = { ...common, config, environment, grpc, secrets: initialSecrets, xdsHeaders: flags.xdsHeaders, version, logger, signal: abort.signal };
	const bootstrap = flags.asksForBootstrap ? await askForBootstrap(asking) : { config };
	process.off("SIGTERM", stop);
	process.off("SIGINT", stop);
	isStarting = false;
	let applied: Promise<void> = Promise.resolve();
	const quit = Promise.withResolvers<"now" | "drain">();
	void pod?.quit.then(quit.resolve);
	const dns = flags.pod?.dns && (await startPodDns(flags.pod.dns, logger.child("dns")));
	const server = await startSidecar(flags, {
		...(dns && { onNames: dns.setTable }),
		...bootstrap,
		grpc,
		environment,
		logger,
		initialSecrets,
		onQuit: () => quit.resolve("now"),
		async onTrustRoots(rootsPem) {
			const trusted = identity.trust(rootsPem);
			await applied;
			return trusted.ok ? undefined : trusted.reason;
		},
	});
	if (flags.pod !== undefined) pod?.attach(podProxy(server, flags.pod));
	void watchHealth(flags, server, logger.child("health"), abort.signal);
	const leave = identity.subscribe((certificate) => {
		applied = setIdentity(server, certificate, flags.rootCertFile, revocations.pem());
	});
	const revoke = () => {
		void setIdentity(server, identity.current, flags.rootCertFile, revocations.pem());
		credentials.refresh();
	};
	void revocations.run(revoke, abort.signal);
	announce(flags, server, logger);
	const drain = flags.pod === undefined ? drainUntilIdle(flags.drainTimeSeconds * 1000) : drainInPod(flags.pod, systemClock);
	await superviseServer({ server, logger, quit: quit.promise, drain });
	leave();
	await Promise.all([pod?.close(), dns?.close()]);
	abort.abort();
	await running;
	return 0;
}

/** Of a workload outside of Kubernetes, where nobody else probes it. */
async function watchHealth(flags: SidecarFlags, server: Server, logger: Logger, signal: AbortSignal): Promise<void> {
	const { readinessProbe: probe } = flags;
	if (probe === undefined) return;
	const { runWorkloadHealth } = await import("../pod/workload-health.ts");
	const { reportHealth } = server;
	await runWorkloadHealth({
		probe,
		instanceIps: instanceIpsOf(flags),
		proxyNotReady: () => notReady(server),
		report: reportHealth,
		logger,
		clock: systemClock,
		signal,
	});
}

const notReady = ({ state }: Server): string | undefined => (state.live === "LIVE" ? undefined : state.live);

function podProxy(server: Server, { drain, isSidecar }: PodOptions): PodProxy {
	const { drainGradually, metrics, state } = server;
	return {
		notReady: () => notReady(server),
		metrics: async (query) => (await metrics(query)).body,
		drain: () => drainGradually(drain.listenersMs, isSidecar),
		responses: () => state.responses,
	};
}

function clusterIdOf({ nodeMetadata }: SidecarFlags): string | undefined {
	const id = nodeMetadata["CLUSTER_ID"];
	return typeof id === "string" ? id : undefined;
}

function decodeSidecar(flags: SidecarFlags, serverName: string, environment: DecodeEnvironment): BootstrapConfig {
	const { value, errors } = decodeBootstrap(buildSidecarBootstrap(flags, serverName), environment);
	if (value === undefined) throw new Error(errors.join("; "));
	return value;
}

interface Parts {
	readonly onNames?: (table: NameTable) => void;
	readonly config: BootstrapConfig;
	readonly grpc: GrpcEnvironment;
	readonly environment: DecodeEnvironment;
	readonly logger: Logger;
	readonly initialSecrets: readonly Secret[];
	readonly onQuit: () => void;
	readonly onTrustRoots: OnTrustRoots;
	readonly onBootstrapPatch?: OnBootstrapPatch;
}

function startSidecar(flags: SidecarFlags, parts: Parts): Promise<Server> {
	const concurrency = flags.concurrency || concurrencyDefault;
	const { componentLevels, logLevel, workersOnDemand, xdsHeaders } = flags;
	const common = { version, clock: systemClock, random: Math.random, ownSecrets, secretsOverAds: true };
	return startServer({ ...parts, ...common, xdsHeaders, concurrency, workersOnDemand, logLevel, componentLevels });
}

/** Once the certificate has expired the secrets go, and with them every handshake: closed, never plaintext. */
function setIdentity(server: Server, certificate: WorkloadCertificate | undefined, rootCertFile: string, crlPem: string): Promise<void> {
	if (certificate === undefined) return server.setSecrets([], [workloadSecret, rootsSecret]);
	return server.setSecrets(secretsOf(certificate, rootCertFile, crlPem), []);
}

function secretsOf({ certChainPem, privateKeyPem, rootsPem }: WorkloadCertificate, rootCertFile: string, crlPem: string): readonly Secret[] {
	const trust = (name: string, caPem: string, lists: string): Secret => ({ name, certificate: undefined, validation: { caPem, crlPem: lists } });
	const own: Secret = { name: workloadSecret, certificate: { certChainPem, privateKeyPem }, validation: undefined };
	return [own, trust(rootsSecret, rootsPem, crlPem), trust(controlPlaneSecret, `${readRootsSync(rootCertFile)}\n${rootsPem}`, "")];
}

function announce({ stateDir, discoveryAddress }: SidecarFlags, server: Server, logger: Logger): void {
	logger.info("sidecar serving", { admin: server.adminAddress ?? "none", controlPlane: discoveryAddress });
	if (stateDir === undefined) return;
	mkdirSync(stateDir, { recursive: true });
	writeFileSync(join(stateDir, "admin-address"), `${server.adminAddress ?? ""}\n`);
}
