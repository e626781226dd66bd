import type { StatefulSession } from "../../config/http-filters.ts";
import { cookieOf } from "../headers/cookies.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { FilterInputs } from "./filter-inputs.ts";

/** A client that was served by a host comes back to it: the host's address goes out in a cookie or header, and comes in again. */
export function compileStatefulSession(session: StatefulSession | undefined, { index }: FilterInputs): StreamFilter | undefined {
	if (session === undefined) return undefined;
	const isOnPath = (path: string) => session.kind !== "cookie" || isCookiePath(path, session.path);
	return {
		onRequestHead(stream) {
			const { request, filters } = stream;
			if (!isOnPath(request.path)) return "continue";
			const text = session.kind === "cookie" ? (cookieOf(request, session.name) ?? "") : (request.get(session.name) ?? "");
			const address = text === "" ? undefined : readAddress(session, text);
			filters.states[index] = address ?? "";
			if (address !== undefined) stream.hostOverride = { address, strict: session.strict };
			return "continue";
		},
		onResponseHead({ response, info, filters }) {
			const asked = filters.states[index];
			// Only a new host is worth telling.
			if (typeof asked !== "string" || info.upstreamHost === "" || info.upstreamHost === asked) return;
			if (session.kind === "header") return response.set(session.name, Buffer.from(info.upstreamHost).toString("base64"));
			const age = session.ttlSeconds > 0 ? `; Max-Age=${session.ttlSeconds}` : "";
			const path = session.path === "" ? "" : `; Path=${session.path}`;
			response.append("set-cookie", `${session.name}="${encodeCookie(info.upstreamHost, session.ttlSeconds)}"${age}${path}; HttpOnly`);
		},
	};
}

function isCookiePath(path: string, cookiePath: string): boolean {
	if (cookiePath === "" || cookiePath === "/") return true;
	const bare = path.replace(/[?#].*$/s, "");
	return cookiePath.endsWith("/") ? bare.startsWith(cookiePath) : bare === cookiePath || bare.startsWith(`${cookiePath}/`);
}

/** Envoy's `envoy.Cookie` message: the address, and when it is no longer good. */
function encodeCookie(address: string, ttlSeconds: number): string {
	const text = Buffer.from(address);
	const fields = [0x0a, text.length, ...text];
	if (ttlSeconds > 0) fields.push(0x10, ...varint(Math.floor(Date.now() / 1000) + ttlSeconds));
	return Buffer.from(fields).toString("base64");
}

function varint(value: number): readonly number[] {
	const bytes: number[] = [];
	let rest = value;
	for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
	return [...bytes, rest];
}

function readAddress({ kind }: StatefulSession, text: string): string | undefined {
	const bytes = Buffer.from(text, "base64");
	if (kind === "header") return plainAddress(bytes.toString("latin1"));
	if (bytes[0] !== 0x0a || bytes[1] === undefined || bytes.length < 2 + bytes[1]) return plainAddress(bytes.toString("latin1"));
	const end = 2 + bytes[1];
	let expires = 0;
	if (bytes[end] === 0x10) for (let at = end + 1, scale = 1; at < bytes.length; at++, scale *= 128) expires += ((bytes[at] as number) & 127) * scale;
	if (expires > 0 && expires * 1000 < Date.now()) return undefined;
	return plainAddress(bytes.toString("latin1", 2, end));
}

function plainAddress(text: string): string | undefined {
	return /^[\d.]+:\d+$|^\[[\da-f:]+\]:\d+$/i.test(text) ? text : undefined;
}
