import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import { connect } from "node:net";
import { CommandError } from "../output/errors.ts";

/** Asks an application whether it is healthy: undefined, or why not. Never rejects. */
export type HealthCheck = () => Promise<string | undefined>;

const timeoutMs = 2_000;

/** `http://…` or `https://…`: a status from 200 to 399; `tcp://HOST:PORT`: a connection. Throws CommandError for anything else. */
export function healthCheck(text: string): HealthCheck {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url?.protocol === "http:" || url?.protocol === "https:") return () => checkHttp(url);
	if (url?.protocol === "tcp:" && url.port !== "") return () => checkTcp(url.hostname.replace(/^\[|\]$/g, ""), Number(url.port));
	throw new CommandError(`--check: "${text}" is not http://HOST:PORT/PATH, https://… or tcp://HOST:PORT`, 2);
}

function checkHttp(url: URL): Promise<string | undefined> {
	return new Promise((resolve) => {
		// A connection that is kept would say nothing of whether a new one can be had.
		const options = { timeout: timeoutMs, agent: false as const, headers: { "user-agent": "weft-check" } };
		// As the kubelet asks: it is the application's health that counts, not its certificate.
		const sent = url.protocol === "https:" ? getHttps(url, { ...options, rejectUnauthorized: false }) : getHttp(url, options);
		sent.on("timeout", () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
		sent.on("error", (error) => resolve(error.message));
		sent.on("response", (response) => {
			response.resume();
			const { statusCode = 0 } = response;
			resolve(statusCode >= 200 && statusCode < 400 ? undefined : `HTTP status ${statusCode}`);
		});
	});
}

function checkTcp(host: string, port: number): Promise<string | undefined> {
	return new Promise((resolve) => {
		const socket = connect({ host, port, timeout: timeoutMs });
		const end = (problem: string | undefined) => {
			socket.destroy();
			resolve(problem);
		};
		socket.on("connect", () => end(undefined));
		socket.on("timeout", () => end(`no connection within ${timeoutMs / 1000} s`));
		socket.on("error", (error) => end(error.message));
	});
}
