import { STATUS_CODES } from "node:http";

const lines = new Map<number, Buffer>();

/** `HTTP/1.1 200 OK\r\n`, encoded once. */
export function statusLine(status: number): Buffer {
	const known = lines.get(status);
	if (known !== undefined) return known;
	const line = Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}\r\n`, "latin1");
	lines.set(status, line);
	return line;
}

export function reasonOf(status: number): string {
	return STATUS_CODES[status] ?? "Unknown";
}

let dateSecond = -1;
let dateText = "";

/** RFC 9110 §5.6.7, made once a second. */
export function httpDate(wallMs: number): string {
	const second = Math.floor(wallMs / 1000);
	if (second !== dateSecond) {
		dateSecond = second;
		dateText = new Date(second * 1000).toUTCString();
	}
	return dateText;
}
