import type { Extensions } from "../../config/discovered-filters.ts";
import type { Listener } from "../../config/listeners.ts";
import type { Changes } from "../../config/runtime-config.ts";
import type { SocketAddress } from "../../config/sockets.ts";
import type { ResourceError } from "../../config/worker-messages.ts";
import { Acceptance, refuseConnection } from "./acceptance.ts";
import { acceptingWorker, type ConnectionBalance, type OnTaken } from "./connection-balance.ts";
import { joinAddress } from "./connection-info.ts";
import type { LineSink } from "../log/access-log.ts";
import type { Connection, ListeningSocket } from "../transport/connection.ts";
import type { OriginalDst } from "../transport/original-dst.ts";
import type { WorkerContext } from "../worker/context.ts";
import { ListenerRuntime } from "./listener-runtime.ts";
import type { Reconnecting } from "./reconnects.ts";

interface Active {
	/** Replaced when the listener's configuration changes; the sockets stay. */
	runtime: ListenerRuntime;
	readonly sockets: Map<string, ListeningSocket>;
}

/** Throws where connections cannot be handed on. */
export type OpenBalance = (onTaken: OnTaken) => ConnectionBalance;

/** A change that has been compiled and waits to be put in force. */
export interface PreparedListeners {
	readonly upsert: readonly ListenerRuntime[];
	readonly remove: readonly string[];
}

/** All listeners of one worker: their sockets, and what becomes of the connections of replaced ones. */
export class ListenerManager {
	readonly #context: WorkerContext;
	readonly #openSink: (path: string) => LineSink;
	readonly #originalDst: OriginalDst;
	readonly #active = new Map<string, Active>();
	readonly #byAddress = new Map<string, Active>();
	readonly #acceptance = new Acceptance();
	/** Replaced and removed listeners that still have connections. */
	readonly #draining = new Set<ListenerRuntime>();
	readonly #openBalance: OpenBalance | undefined;
	/** From the first listener that wants it. */
	#balance: ConnectionBalance | undefined;

	/** `openBalance` undefined: this worker has every connection. */
	constructor(context: WorkerContext, openSink: (path: string) => LineSink, originalDst: OriginalDst, openBalance?: OpenBalance) {
		this.#context = context;
		this.#openSink = openSink;
		this.#originalDst = originalDst;
		this.#openBalance = openBalance;
	}

	/** Compiles; nothing is in force yet. A listener with errors is left out, so that the old one stays. */
	prepare(changes: Changes<Listener>, extensions: Extensions, errors: ResourceError[]): PreparedListeners {
		const upsert: ListenerRuntime[] = [];
		for (const config of changes.upsert) {
			const old = this.#active.get(config.name);
			if (old !== undefined && JSON.stringify(old.runtime.config) === JSON.stringify(config)) continue;
			try {
				const runtime = new ListenerRuntime(config, {
					context: this.#context,
					openSink: this.#openSink,
					originalDst: this.#originalDst,
					findListener: (address, port) => this.#find(address, port),
					balance: this.#balanceFor(config)?.row(config.name),
					extensions,
					onBadExtension: (resource, message) => void errors.push({ resource, message }),
				});
				if (runtime.errors.length === 0) upsert.push(runtime);
				else {
					errors.push(...runtime.errors.map((message) => ({ resource: config.name, message })));
					runtime.destroy();
				}
			} catch (error) {
				errors.push({ resource: config.name, message: error instanceof Error ? error.message : String(error) });
			}
		}
		return { upsert, remove: changes.remove };
	}

	/** Throws where connections cannot be handed on. */
	#balanceFor({ exactBalance }: Listener): ConnectionBalance | undefined {
		if (exactBalance !== true || this.#openBalance === undefined) return undefined;
		return (this.#balance ??= this.#openBalance((listener, connection) => {
			const active = this.#active.get(listener);
			if (active === undefined) connection.destroy();
			else this.#admit(active, connection);
		}));
	}

	/** The prepared listeners take over at once; new sockets are bound before this resolves. */
	async activate({ upsert, remove }: PreparedListeners): Promise<readonly ResourceError[]> {
		for (const name of remove) this.#remove(name);
		const binds = upsert.map((runtime) => this.#activateOne(runtime));
		return (await Promise.all(binds)).flat();
	}

	async #activateOne(runtime: ListenerRuntime): Promise<readonly ResourceError[]> {
		const { config } = runtime;
		const known = this.#active.get(config.name);
		const active: Active = known ?? { runtime, sockets: new Map() };
		if (known !== undefined) {
			this.#retire(known.runtime);
			known.runtime = runtime;
		}
		this.#active.set(config.name, active);
		for (const [address, other] of this.#byAddress) if (other === active) this.#byAddress.delete(address);
		const addresses = [config.address, ...config.additionalAddresses];
		for (const key of addresses.flatMap(keysOf)) this.#byAddress.set(key, active);
		const wanted = config.bindToPort ? addresses : [];
		for (const [key, socket] of active.sockets) {
			if (wanted.some((address) => keyOf(address) === key)) continue;
			socket.close();
			active.sockets.delete(key);
		}
		const missing = wanted.filter((address) => !active.sockets.has(keyOf(address)));
		return (await Promise.all(missing.map((address) => this.#bind(active, config, address)))).flat();
	}

	#admit(active: Active, connection: Connection): void {
		const { overload, runtime } = this.#context;
		const refusal = runtime.isEmpty ? undefined : active.runtime.refusal;
		if (refusal !== undefined) return refuseConnection(active.runtime, connection, refusal);
		if (overload === undefined) active.runtime.accept(connection);
		else this.#acceptance.take(active, connection, overload);
	}

	async #bind(active: Active, config: Listener, address: SocketAddress): Promise<readonly ResourceError[]> {
		const { transport, reusePort, workerIndex } = this.#context;
		const balance = address.kind === "pipe" ? undefined : this.#balanceFor(config);
		// A path has one socket: its connections are the first worker's.
		if ((balance !== undefined || address.kind === "pipe") && workerIndex !== acceptingWorker) return [];
		const onConnection = (connection: Connection) => {
			if (balance?.handOver(config.name, connection) !== true) this.#admit(active, connection);
		};
		try {
			const socket =
				address.kind === "pipe"
					? await transport.listenPipe(address.path, onConnection)
					: await transport.listen({ ...listenOptions(config, address), reusePort }, onConnection);
			// Removed while it was being bound.
			if (this.#active.get(config.name) !== active) {
				socket.close();
				return [];
			}
			active.sockets.set(keyOf(address), socket);
			this.#context.post({
				kind: "listening",
				listener: config.name,
				address: address.kind === "pipe" ? address.path : joinAddress(address.address, socket.port),
				port: socket.port,
			});
			return [];
		} catch (error) {
			const message = `cannot bind ${keyOf(address)}: ${error instanceof Error ? error.message : String(error)}`;
			this.#context.post({ kind: "listenerError", listener: config.name, message });
			return [{ resource: config.name, message, isUnbound: true }];
		}
	}

	/** The overload manager wants something else. */
	onOverload(): void {
		for (const { runtime } of this.#active.values()) runtime.onOverload();
		for (const runtime of this.#draining) runtime.onOverload();
		if (this.#context.overload !== undefined) this.#acceptance.resume(this.#context.overload);
	}

	#remove(name: string): void {
		const active = this.#active.get(name);
		if (active === undefined) return;
		this.#active.delete(name);
		for (const [address, other] of this.#byAddress) if (other === active) this.#byAddress.delete(address);
		for (const socket of active.sockets.values()) socket.close();
		this.#retire(active.runtime);
	}

	#retire(runtime: ListenerRuntime): void {
		this.#draining.add(runtime);
		runtime.drain(false);
		this.#sweep();
	}

	/** Lets go of drained listeners whose connections are gone. */
	#sweep(): void {
		for (const runtime of this.#draining) {
			if (runtime.connections > 0) continue;
			runtime.destroy();
			this.#draining.delete(runtime);
		}
	}

	/** The listener for a restored destination: its exact address, then the wildcard of its family with its port. */
	#find(address: string, port: number): ListenerRuntime | undefined {
		const exact = this.#byAddress.get(joinAddress(address, port));
		if (exact !== undefined) return exact.runtime;
		return this.#byAddress.get(joinAddress(address.includes(":") ? "::" : "0.0.0.0", port))?.runtime;
	}

	/** The filters of this key that come by themselves are what `extensions` says, in every listener in force. */
	replaceFilter(key: string, extensions: Extensions, errors: string[]): void {
		for (const { runtime } of this.#active.values()) runtime.replaceFilter(key, extensions, errors);
	}

	refreshTls(): void {
		for (const { runtime } of this.#active.values()) runtime.refreshTls();
	}

	/** Stops accepting; connections end with what they are doing. */
	drain(inboundOnly: boolean, isStopping: boolean): void {
		for (const { runtime, sockets } of this.#active.values()) {
			if (inboundOnly && runtime.config.direction !== "inbound") continue;
			if (isStopping) for (const socket of sockets.values()) socket.close();
			if (isStopping) sockets.clear();
			runtime.drain(isStopping);
		}
	}

	/** The process is about to end: what is quiet is closed now, what is not after its next response. New connections are still taken. */
	closeIdle(inboundOnly: boolean): void {
		for (const { runtime } of this.#active.values()) {
			if (!inboundOnly || runtime.config.direction === "inbound") runtime.drain(true);
		}
		for (const runtime of this.#draining) runtime.drain(true);
	}

	/** Those of HTTP that another worker may get when they are made anew. */
	spreadConnections(): readonly Reconnecting[] {
		return [...this.#active.values()].flatMap(({ runtime }) => (runtime.config.address.kind === "pipe" ? [] : [...runtime.httpConnections]));
	}

	/** Connections with something under way: a request, or bytes that are not HTTP's. */
	get busyConnections(): number {
		this.#sweep();
		let count = 0;
		for (const { runtime } of this.#active.values()) count += runtime.busyConnections;
		for (const runtime of this.#draining) count += runtime.busyConnections;
		return count;
	}

	get connections(): number {
		this.#sweep();
		let count = 0;
		for (const { runtime } of this.#active.values()) count += runtime.connections;
		for (const runtime of this.#draining) count += runtime.connections;
		return count;
	}

	destroy(): void {
		this.#acceptance.close();
		this.#balance?.close();
		for (const { runtime, sockets } of this.#active.values()) {
			for (const socket of sockets.values()) socket.close();
			runtime.destroy();
		}
		for (const runtime of this.#draining) runtime.destroy();
	}
}

function listenOptions({ backlog, socketOptions }: Listener, { address, port, ipv4Compat = false }: Extract<SocketAddress, { kind: "ip" }>) {
	return { address, port, backlog: backlog || 4096, ipv6Only: !ipv4Compat, socketOptions };
}

/** A wildcard that takes IPv4 as well is found by both. */
function keysOf(address: SocketAddress): readonly string[] {
	const key = keyOf(address);
	return address.kind === "ip" && address.address === "::" && address.ipv4Compat === true ? [key, joinAddress("0.0.0.0", address.port)] : [key];
}

function keyOf(address: SocketAddress): string {
	return address.kind === "pipe" ? address.path : joinAddress(address.address, address.port);
}
