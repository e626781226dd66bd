/** `ip:port`, `[ip]:port`, or a pipe's path: then there is no port. */
export function splitAddress(text: string): { readonly host: string; readonly port: number | undefined } {
	const match = /^\[?([^[\]]*?)\]?:(\d+)$/.exec(text);
	return match === null ? { host: text, port: undefined } : { host: match[1] as string, port: Number(match[2]) };
}
