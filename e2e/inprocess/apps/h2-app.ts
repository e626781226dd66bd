import { createServer } from "node:http2";

// HTTP/2 with prior knowledge: answers with what it saw.
createServer((request, response) => {
	let bytes = 0;
	request.on("data", (chunk: Buffer) => void (bytes += chunk.length));
	request.on("end", () => {
		response.setHeader("x-protocol", request.httpVersion);
		response.end(JSON.stringify({ pod: process.env["POD_NAME"], path: request.url, bytes }));
	});
}).listen(Number(process.env["PORT"]));
