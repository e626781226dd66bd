/** RFC 9110 §15 and the registry; node:http has the same table and costs ten megabytes of a worker's memory. */
const reasons: ReadonlyMap<number, string> = new Map([
	[100, "Continue"],
	[101, "Switching Protocols"],
	[102, "Processing"],
	[103, "Early Hints"],
	[200, "OK"],
	[201, "Created"],
	[202, "Accepted"],
	[203, "Non-Authoritative Information"],
	[204, "No Content"],
	[205, "Reset Content"],
	[206, "Partial Content"],
	[207, "Multi-Status"],
	[208, "Already Reported"],
	[226, "IM Used"],
	[300, "Multiple Choices"],
	[301, "Moved Permanently"],
	[302, "Found"],
	[303, "See Other"],
	[304, "Not Modified"],
	[305, "Use Proxy"],
	[307, "Temporary Redirect"],
	[308, "Permanent Redirect"],
	[400, "Bad Request"],
	[401, "Unauthorized"],
	[402, "Payment Required"],
	[403, "Forbidden"],
	[404, "Not Found"],
	[405, "Method Not Allowed"],
	[406, "Not Acceptable"],
	[407, "Proxy Authentication Required"],
	[408, "Request Timeout"],
	[409, "Conflict"],
	[410, "Gone"],
	[411, "Length Required"],
	[412, "Precondition Failed"],
	[413, "Payload Too Large"],
	[414, "URI Too Long"],
	[415, "Unsupported Media Type"],
	[416, "Range Not Satisfiable"],
	[417, "Expectation Failed"],
	[418, "I'm a Teapot"],
	[421, "Misdirected Request"],
	[422, "Unprocessable Entity"],
	[423, "Locked"],
	[424, "Failed Dependency"],
	[425, "Too Early"],
	[426, "Upgrade Required"],
	[428, "Precondition Required"],
	[429, "Too Many Requests"],
	[431, "Request Header Fields Too Large"],
	[451, "Unavailable For Legal Reasons"],
	[500, "Internal Server Error"],
	[501, "Not Implemented"],
	[502, "Bad Gateway"],
	[503, "Service Unavailable"],
	[504, "Gateway Timeout"],
	[505, "HTTP Version Not Supported"],
	[506, "Variant Also Negotiates"],
	[507, "Insufficient Storage"],
	[508, "Loop Detected"],
	[509, "Bandwidth Limit Exceeded"],
	[510, "Not Extended"],
	[511, "Network Authentication Required"],
]);

const lines = new Map<number, Buffer>();

/** `HTTP/1.1 200 OK\r\n`, encoded once; a client of HTTP/1.0 is answered in its own version. */
export function statusLine(status: number, version: 10 | 11): Buffer {
	if (version === 10) return encodeLine(status, "1.0");
	const known = lines.get(status);
	if (known !== undefined) return known;
	const line = encodeLine(status, "1.1");
	lines.set(status, line);
	return line;
}

function encodeLine(status: number, version: string): Buffer {
	return Buffer.from(`HTTP/${version} ${status} ${reasonOf(status)}\r\n`, "latin1");
}

export function reasonOf(status: number): string {
	return reasons.get(status) ?? "Unknown";
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
