import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

// Answers with what it saw. Paths that change how it answers: /status/503, /slow?ms=300, /fail (503 from now on), /recover, /exit.
const { VERSION = "", POD_NAME = "", PORT = "" } = process.env;
let failing = false;
let active = 0;
let most = 0;

function answer(request: IncomingMessage, response: ServerResponse, bytes: number): void {
	const url = new URL(request.url ?? "/", "http://app");
	const [, verb, argument] = url.pathname.split("/");
	if (verb === "most") return void response.end(String(most));
	if (verb === "fail" || verb === "recover") {
		failing = verb === "fail";
		return void response.end(POD_NAME);
	}
	if (verb === "exit") return void setImmediate(() => process.exit(1));
	const status = verb === "status" ? Number(argument) : failing ? 503 : 200;
	most = Math.max(most, ++active);
	const finish = () => {
		active--;
		response.writeHead(status, { "content-type": "application/json" });
		response.end(JSON.stringify({ version: VERSION, pod: POD_NAME, path: request.url, headers: request.headers, bytes }));
	};
	if (verb === "slow") setTimeout(finish, Number(url.searchParams.get("ms")));
	else finish();
}

createServer((request, response) => {
	let bytes = 0;
	request.on("data", (chunk: Buffer) => void (bytes += chunk.length));
	request.on("end", () => answer(request, response, bytes));
}).listen(Number(PORT));
