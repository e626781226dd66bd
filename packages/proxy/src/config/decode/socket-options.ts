import type { SocketOption as OptionMessage } from "@weft/xds/generated/envoy/config/core/v3/socket_option.ts";
import type { SocketOption, SocketOptions } from "../sockets.ts";
import { type At, report, under } from "./issues.ts";

const states: Readonly<Record<number, SocketOption["state"]>> = { 0: "prebind", 1: "bound", 2: "listening" };
const valueBytesMax = 2048;
// linux/in.h, linux/tcp.h
const tcpLevel = 6;
const tcpFastOpen = 23;

/** undefined: nothing beyond the ordinary. */
export function decodeSocketOptions(
	at: At,
	messages: readonly OptionMessage[],
	{ transparent = false, freebind = false, tcpFastOpenQueueLength = 0 }: WellKnownOptions,
): SocketOptions | undefined {
	if (messages.length === 0 && !transparent && !freebind && tcpFastOpenQueueLength === 0) return undefined;
	const custom = messages.map((message, i) => decodeOption(under(at, `socketOptions[${i}]`), message));
	if (tcpFastOpenQueueLength > 0) custom.push({ level: tcpLevel, name: tcpFastOpen, value: int(tcpFastOpenQueueLength), state: "listening" });
	return { transparent, freebind, custom };
}

/** Those that have a field of their own. */
interface WellKnownOptions {
	readonly transparent?: boolean | undefined;
	readonly freebind?: boolean | undefined;
	/** 0: no TCP fast open. */
	readonly tcpFastOpenQueueLength?: number | undefined;
}

function decodeOption(at: At, message: OptionMessage): SocketOption {
	const state = states[message.state];
	if (state === undefined) report(under(at, "state"), `state ${message.state} is not known`);
	const value = message.bufValue ?? int(Number(message.intValue ?? 0n));
	if (value.length > valueBytesMax) report(under(at, "bufValue"), `more than ${valueBytesMax} bytes`);
	return { level: Number(message.level), name: Number(message.name), value, state: state ?? "prebind" };
}

/** As C has it on this machine. */
function int(value: number): Uint8Array {
	return new Uint8Array(new Int32Array([value]).buffer);
}
