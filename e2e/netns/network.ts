import { type ChildProcess, execFileSync, spawn, type SpawnOptions } from "node:child_process";
import { once } from "node:events";

/** undefined: network namespaces can be made here; else the reason and what enables them. */
export function whySkipped(): string | undefined {
	if (process.platform !== "linux") return "needs Linux's network namespaces";
	if (process.getuid?.() !== 0) return "needs root: sudo npm test -- e2e/netns/capture.test.ts";
	for (const [program, args] of [
		["ip", ["-V"]],
		["iptables-restore", ["--version"]],
		["setpriv", ["--version"]],
		["curl", ["--version"]],
	] as const) {
		try {
			execFileSync(program, args, { stdio: "ignore" });
		} catch {
			return `needs ${program}: apt-get install iproute2 iptables util-linux curl`;
		}
	}
	try {
		const probe = `wft${process.pid}`;
		execFileSync("ip", ["netns", "add", probe], { stdio: "ignore" });
		execFileSync("ip", ["netns", "del", probe], { stdio: "ignore" });
	} catch {
		return "needs the right to make network namespaces (CAP_SYS_ADMIN, CAP_NET_ADMIN)";
	}
	return undefined;
}

export interface RunAs {
	/** Numeric user and group; capabilities go with the user. */
	readonly user?: number;
	readonly group?: number;
}

/** One network namespace: a pod's, or the node's. */
export interface Host {
	readonly namespace: string;
	readonly ip: string;
	readonly ip6: string;
	/** Runs to its end; throws with what it wrote when it fails. */
	run(command: readonly string[], options?: RunAs & { readonly input?: string }): string;
	start(command: readonly string[], options?: RunAs & SpawnOptions): ChildProcess;
}

/**
 * A node and its pods: namespaces on one bridge that lives in the node's namespace, so that nothing of it touches this
 * machine's own network. Names carry the process id: runs can be parallel.
 */
export class Network {
	readonly node: Host;
	readonly #prefix: string;
	readonly #namespaces: string[] = [];
	readonly #children = new Set<ChildProcess>();
	#pods = 0;

	constructor(name: string) {
		this.#prefix = `w${process.pid.toString(36)}${name}`;
		process.once("exit", this.#remove);
		this.node = this.#createHost("n", "10.44.0.1", "fd44::1");
		const { node } = this;
		node.run(["ip", "link", "add", "br0", "type", "bridge"]);
		node.run(["ip", "addr", "add", "10.44.0.1/24", "dev", "br0"]);
		node.run(["ip", "-6", "addr", "add", "fd44::1/64", "dev", "br0", "nodad"]);
		node.run(["ip", "link", "set", "br0", "up"]);
	}

	/** A namespace with one interface; all its traffic leaves through the node. With `family` 6 it has no IPv4. */
	addPod(family: 4 | 6 = 4): Host {
		const n = ++this.#pods;
		const pod = this.#createHost(`p${n}`, `10.44.0.${n + 1}`, `fd44::${n + 1}`);
		const { namespace } = pod;
		this.node.run(["ip", "link", "add", `v${n}`, "type", "veth", "peer", "name", "eth0", "netns", namespace]);
		this.node.run(["ip", "link", "set", `v${n}`, "master", "br0", "up"]);
		if (family === 4) pod.run(["ip", "addr", "add", `${pod.ip}/24`, "dev", "eth0"]);
		pod.run(["ip", "-6", "addr", "add", `${pod.ip6}/64`, "dev", "eth0", "nodad"]);
		pod.run(["ip", "link", "set", "eth0", "up"]);
		if (family === 4) pod.run(["ip", "route", "add", "default", "via", "10.44.0.1"]);
		pod.run(["ip", "-6", "route", "add", "default", "via", "fd44::1"]);
		return pod;
	}

	#createHost(suffix: string, ip: string, ip6: string): Host {
		const namespace = `${this.#prefix}${suffix}`;
		execFileSync("ip", ["netns", "add", namespace]);
		this.#namespaces.push(namespace);
		// Both exec what they are given: the child's process id is the program's own.
		const wrap = (command: readonly string[], { user = 0, group = user }: RunAs) => {
			const drop = user === 0 && group === 0 ? [] : ["setpriv", `--reuid=${user}`, `--regid=${group}`, "--clear-groups"];
			return ["netns", "exec", namespace, ...drop, ...command];
		};
		const host: Host = {
			namespace,
			ip,
			ip6,
			run: (command, { input, ...as } = {}) =>
				execFileSync("ip", wrap(command, as), {
					encoding: "utf8",
					timeout: 30_000,
					stdio: ["pipe", "pipe", "pipe"],
					...(input === undefined ? {} : { input }),
				}),
			start: (command, { user, group, ...options } = {}) => {
				const child = spawn("ip", wrap(command, { ...(user === undefined ? {} : { user }), ...(group === undefined ? {} : { group }) }), options);
				this.#children.add(child);
				child.once("exit", () => this.#children.delete(child));
				return child;
			},
		};
		host.run(["ip", "link", "set", "lo", "up"]);
		return host;
	}

	/** Ends every process that was started here, then the namespaces with all their rules. */
	async close(): Promise<void> {
		const ended = [...this.#children].map(async (child) => {
			const exit = once(child, "exit");
			child.kill("SIGTERM");
			const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
			await exit;
			clearTimeout(timer);
		});
		await Promise.all(ended);
		this.#remove();
		process.off("exit", this.#remove);
	}

	readonly #remove = (): void => {
		for (const child of this.#children) child.kill("SIGKILL");
		for (const namespace of this.#namespaces.splice(0)) {
			try {
				execFileSync("ip", ["netns", "del", namespace], { stdio: "ignore" });
			} catch {
				// Gone already.
			}
		}
	};
}
