import { chmodSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { issueLocalToken } from "@weft/citadel";
import { type Host, Network, type RunAs } from "./network.ts";

const root = (name: string) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
const weft = [process.execPath, join(root("@weft/cli"), "bin", "weft.mjs")];
const launch = (JSON.parse(readFileSync(join(root("@weft/proxy"), "package.json"), "utf8")) as { readonly weft: ProxyLaunch }).weft;
const proxy = [process.execPath, ...launch.nodeArguments, proxyFile()];
const apps = join(import.meta.dirname, "../../examples/apps/src/main.ts");
/** How long anything may take on a machine that is busy with other things. */
const patienceMs = 90_000;
const discoveryPort = 15_012;
const proxyUser = 1337;
const appUser = 1000;

interface ProxyLaunch {
	readonly nodeArguments: readonly string[];
	readonly environment: Readonly<Record<string, string>>;
}

function proxyFile(): string {
	const bundle = join(root("@weft/proxy"), "dist", "weft-proxy.mjs");
	return process.env["WEFT_SOURCES"] === undefined && existsSync(bundle) ? bundle : join(root("@weft/proxy"), "src", "main.ts");
}

/** What the injector's init container is told beside what every pod's is. */
export interface CaptureOptions {
	readonly mode?: "REDIRECT" | "TPROXY";
	readonly excludeInboundPorts?: readonly number[];
	readonly excludeOutboundPorts?: readonly number[];
	readonly dualStack?: boolean;
}

export interface PodSpec {
	readonly name: string;
	/** undefined: no proxy, no capture. */
	readonly capture?: CaptureOptions;
	/** Laid over what the injector would write. */
	readonly env?: Readonly<Record<string, string>>;
	readonly ipFamily?: 4 | 6;
}

export interface ServiceSpec {
	readonly name: string;
	readonly clusterIp: string;
	readonly pods: readonly string[];
	readonly ports: readonly { readonly name: string; readonly port: number; readonly targetPort: number }[];
}

export interface MeshPod {
	readonly spec: PodSpec;
	readonly host: Host;
	readonly folder: string;
	readonly ip: string;
}

export interface CurlResult {
	/** 0: no answer. */
	readonly status: number;
	readonly body: string;
	readonly exitCode: number;
}

/** A control plane on files, and pods as Kubernetes and its injector would make them, each in a namespace of its own. */
export class NetnsMesh {
	readonly network: Network;
	readonly folder: string;
	readonly pods = new Map<string, MeshPod>();
	readonly proxyCommand = proxy;
	readonly #proxies = new Map<string, ChildProcess>();
	readonly #tokenKey = Buffer.alloc(32, 7);

	constructor(name: string) {
		this.network = new Network(name);
		this.folder = mkdtempSync(join(tmpdir(), "weft-netns-"));
		chmodSync(this.folder, 0o755);
		mkdirSync(join(this.folder, "config"));
		writeFileSync(join(this.folder, "token.key"), this.#tokenKey, { mode: 0o600 });
	}

	/** Writes objects into a file of the watched folder. */
	apply(file: string, ...objects: readonly object[]): void {
		writeFileSync(join(this.folder, "config", `${file}.yaml`), objects.map((object) => `${JSON.stringify(object)}\n---\n`).join(""));
	}

	remove(file: string): void {
		rmSync(join(this.folder, "config", `${file}.yaml`));
	}

	addPod(spec: PodSpec): MeshPod {
		const host = this.network.addPod(spec.ipFamily);
		const folder = join(this.folder, spec.name);
		mkdirSync(folder);
		const pod = { spec, host, folder, ip: spec.ipFamily === 6 ? host.ip6 : host.ip };
		this.pods.set(spec.name, pod);
		this.apply(`pod-${spec.name}`, podObject(pod));
		// The init container: root, before anything else of the pod runs.
		if (spec.capture !== undefined) host.run([...proxy, "istio-iptables", ...captureArguments(spec.capture)]);
		return pod;
	}

	addService(service: ServiceSpec): void {
		this.apply(`service-${service.name}`, ...serviceObjects(service, this.pods));
	}

	async startControlPlane(): Promise<void> {
		const ca = join(this.folder, "ca");
		mkdirSync(ca);
		const flags = ["--files", join(this.folder, "config"), "--http", "127.0.0.1:15014", "--secure-grpc", `[::]:${discoveryPort}`];
		const secrets = ["--ca-dir", ca, "--token-key", join(this.folder, "token.key")];
		this.network.node.start([...weft, "control-plane", ...flags, ...secrets], { stdio: this.#log("control-plane") });
		await this.#until("the control plane", () => existsSync(join(this.folder, "root-cert.pem")));
	}

	/** Writes what the kubelet mounts, and starts the proxy as the injector's container does. */
	startProxy(pod: MeshPod): void {
		const { spec, folder, host, ip } = pod;
		const exp = Math.floor(Date.now() / 1000) + 3600;
		const write = (path: string, text: string) => {
			mkdirSync(dirname(join(folder, path)), { recursive: true });
			writeFileSync(join(folder, path), text);
		};
		write("var/run/secrets/tokens/istio-token", issueLocalToken(this.#tokenKey, { ns: "default", sa: spec.name, pod: spec.name, exp }));
		write("var/run/secrets/istio/root-cert.pem", readFileSync(join(this.folder, "root-cert.pem"), "utf8"));
		write("etc/istio/pod/labels", `app="${spec.name}"\npod-template-hash="abc"\nsecurity.istio.io/tlsMode="istio"\nversion="v1"`);
		write("etc/istio/pod/annotations", 'kubernetes.io/config.source="api"');
		// In TPROXY mode the injector lets the proxy be root with NET_ADMIN alone; its group is what the rules spare.
		const isTproxy = spec.capture?.mode === "TPROXY";
		const as = isTproxy ? { user: 0, group: proxyUser } : { user: proxyUser, group: proxyUser };
		const drop = isTproxy ? ["setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin"] : [];
		const args = ["proxy", "sidecar", "--domain", "default.svc.cluster.local", "--proxyLogLevel=warning", "--proxyComponentLogLevel=misc:error"];
		const child = host.start([...drop, ...proxy, ...args, "--log_output_level=default:info"], {
			...as,
			cwd: folder,
			env: this.#proxyEnv(pod, ip),
			stdio: this.#log(`${spec.name}-proxy`),
		});
		this.#proxies.set(spec.name, child);
	}

	proxyOf({ spec }: MeshPod): ChildProcess {
		const child = this.#proxies.get(spec.name);
		if (child === undefined) throw new Error(`${spec.name} has no proxy`);
		return child;
	}

	#proxyEnv({ spec }: MeshPod, ip: string): NodeJS.ProcessEnv {
		const address = `${spec.ipFamily === 6 ? `[${this.network.node.ip6}]` : this.network.node.ip}:${discoveryPort}`;
		return {
			PATH: process.env["PATH"],
			...(process.env["WEFT_SOURCES"] === undefined ? {} : { WEFT_SOURCES: "1" }),
			...launch.environment,
			PILOT_CERT_PROVIDER: "istiod",
			CA_ADDR: address,
			POD_NAME: spec.name,
			POD_NAMESPACE: "default",
			INSTANCE_IP: ip,
			SERVICE_ACCOUNT: spec.name,
			HOST_IP: this.network.node.ip,
			ISTIO_CPU_LIMIT: "1",
			PROXY_CONFIG: JSON.stringify({ discoveryAddress: address, terminationDrainDuration: "1s" }),
			ISTIO_META_POD_PORTS: "[]",
			ISTIO_META_APP_CONTAINERS: "app",
			ISTIO_META_CLUSTER_ID: "Kubernetes",
			ISTIO_META_NODE_NAME: "node",
			ISTIO_META_INTERCEPTION_MODE: spec.capture?.mode ?? "REDIRECT",
			ISTIO_META_WORKLOAD_NAME: spec.name,
			ISTIO_META_OWNER: `kubernetes://apis/apps/v1/namespaces/default/deployments/${spec.name}`,
			ISTIO_META_MESH_ID: "cluster.local",
			TRUST_DOMAIN: "cluster.local",
			...spec.env,
		};
	}

	/** One of `examples/apps`, with nothing in its environment that knows of a proxy. */
	startApp(host: Host, name: string, app: string, args: readonly string[], env: Readonly<Record<string, string>>): void {
		host.start([process.execPath, apps, app, ...args], {
			user: appUser,
			cwd: "/",
			env: { PATH: process.env["PATH"], HOST: "0.0.0.0", ...env },
			stdio: this.#log(name),
		});
	}

	/** Plain curl, as the application's user unless said otherwise. */
	curl(host: Host, url: string, args: readonly string[] = [], as: RunAs = { user: appUser }): CurlResult {
		const command = ["curl", "-s", "--noproxy", "*", "--max-time", "10", "-w", "\n%{http_code}", ...args, url];
		try {
			return readCurl(host.run(command, as), 0);
		} catch (error) {
			const { stdout = "", status = -1 } = error as { readonly stdout?: string; readonly status?: number };
			return readCurl(stdout, status);
		}
	}

	/** Sends over TCP, ends its side, and gives what comes back; "" when the connection is refused or reset. */
	exchange(host: Host, ip: string, port: number, text: string): string {
		const script = `const s=require("net").connect({host:${JSON.stringify(ip)},port:${port}},()=>s.end(${JSON.stringify(text)}));
			s.on("data",d=>process.stdout.write(d));s.on("error",()=>{});s.setTimeout(8000,()=>s.destroy())`;
		return host.run([process.execPath, "-e", script], { user: appUser });
	}

	/** One datagram to a server that answers with what it saw. */
	async exchangeUdp(from: Host, to: Host, port: number, text: string): Promise<{ readonly text: string; readonly seen: string }> {
		const server = to.start(
			[
				process.execPath,
				"-e",
				`const s=require("dgram").createSocket("udp4");
				s.on("message",(m,r)=>s.send(JSON.stringify({text:m+" is asking",seen:r.address}),r.port,r.address));s.bind(${port},()=>console.log("bound"))`,
			],
			{ stdio: ["ignore", "pipe", "inherit"] },
		);
		await once(server.stdout as Readable, "data");
		const script = `const s=require("dgram").createSocket("udp4");s.on("message",m=>{process.stdout.write(m);s.close()});
			s.send(${JSON.stringify(text)},${port},${JSON.stringify(to.ip)});setTimeout(()=>process.exit(1),5000).unref()`;
		try {
			return JSON.parse(from.run([process.execPath, "-e", script], { user: appUser })) as { readonly text: string; readonly seen: string };
		} finally {
			server.kill();
		}
	}

	async ready(pod: MeshPod): Promise<void> {
		await this.#until(`the proxy of ${pod.spec.name}`, () => {
			const host = pod.spec.ipFamily === 6 ? "[::1]" : "127.0.0.1";
			return this.curl(pod.host, `http://${host}:15021/healthz/ready`).status === 200;
		});
	}

	/** Asks until the answer is as wanted. */
	async eventually<T>(what: string, ask: () => T, isWanted: (answer: T) => boolean): Promise<T> {
		let last: T | undefined;
		await this.#until(what, () => isWanted((last = ask()))).catch((error: unknown) => {
			throw new Error(`${(error as Error).message}\nlast answer: ${JSON.stringify(last)}`, { cause: error });
		});
		return last as T;
	}

	async #until(what: string, isTrue: () => boolean): Promise<void> {
		const until = Date.now() + patienceMs;
		while (!isTrue()) {
			if (Date.now() > until) throw new Error(`${what}: not within ${patienceMs / 1000} s\n${this.logs()}`);
			await new Promise((resolve) => setTimeout(resolve, 200));
		}
	}

	#log(name: string): ["ignore", number, number] {
		const file = openSync(join(this.folder, `${name}.log`), "a");
		this.#logs.push(name);
		return ["ignore", file, file];
	}
	readonly #logs: string[] = [];

	logs(): string {
		return this.#logs.map((name) => `--- ${name}\n${readFileSync(join(this.folder, `${name}.log`), "utf8").slice(-3000)}`).join("\n");
	}

	async close(): Promise<void> {
		await this.network.close();
		rmSync(this.folder, { recursive: true, force: true });
	}
}

export interface Echo {
	readonly instance: string;
	readonly remoteAddress: string;
	readonly headers: readonly (readonly [string, string])[];
}

export function echoOf({ body }: CurlResult): Echo {
	return JSON.parse(body) as Echo;
}

export function header(echo: Echo, name: string): string | undefined {
	return echo.headers.find(([key]) => key.toLowerCase() === name)?.[1];
}

export function peerAuthentication(mode: "STRICT" | "PERMISSIVE"): object {
	return { apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "default", namespace: "default" }, spec: { mtls: { mode } } };
}

function readCurl(output: string, exitCode: number): CurlResult {
	const at = output.lastIndexOf("\n");
	return { status: Number(output.slice(at + 1)), body: output.slice(0, Math.max(at, 0)), exitCode };
}

function captureArguments({ mode = "REDIRECT", excludeInboundPorts = [], excludeOutboundPorts = [], dualStack = false }: CaptureOptions): readonly string[] {
	const inbound = ["15090", "15021", "15020", ...excludeInboundPorts].join(",");
	return [
		"-p",
		"15001",
		"-z",
		"15006",
		"-u",
		"1337",
		"-m",
		mode,
		"-i",
		"*",
		"-x",
		"",
		"-b",
		"*",
		"-d",
		inbound,
		"-o",
		excludeOutboundPorts.join(","),
		...(dualStack ? ["--dual-stack"] : []),
	];
}

function podObject({ spec, ip }: MeshPod): object {
	const isMeshed = spec.capture !== undefined;
	const labels = { app: spec.name, version: "v1", ...(isMeshed ? { "security.istio.io/tlsMode": "istio" } : {}) };
	return {
		apiVersion: "v1",
		kind: "Pod",
		metadata: { name: spec.name, namespace: "default", labels },
		spec: { nodeName: "node", serviceAccountName: spec.name, containers: [{ name: "app", image: "app" }] },
		status: { phase: "Running", podIP: ip, podIPs: [{ ip }], conditions: [{ type: "Ready", status: "True" }] },
	};
}

function serviceObjects({ name, clusterIp, pods: names, ports }: ServiceSpec, pods: ReadonlyMap<string, MeshPod>): readonly object[] {
	const family = clusterIp.includes(":") ? "IPv6" : "IPv4";
	const endpoints = names.map((pod) => ({
		addresses: [pods.get(pod)?.ip],
		conditions: { ready: true, serving: true, terminating: false },
		nodeName: "node",
		targetRef: { kind: "Pod", name: pod, namespace: "default" },
	}));
	return [
		{
			apiVersion: "v1",
			kind: "Service",
			metadata: { name, namespace: "default" },
			spec: {
				clusterIP: clusterIp,
				clusterIPs: [clusterIp],
				ipFamilies: [family],
				selector: { app: names[0] },
				ports: ports.map((port) => ({ ...port, protocol: "TCP" })),
			},
		},
		{
			apiVersion: "discovery.k8s.io/v1",
			kind: "EndpointSlice",
			metadata: { name: `${name}-1`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
			addressType: family,
			ports: ports.map(({ name: port, targetPort }) => ({ name: port, port: targetPort, protocol: "TCP" })),
			endpoints,
		},
	];
}
