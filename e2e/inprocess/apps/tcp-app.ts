import { createServer } from "node:net";

// Three container ports: 7000 sends every byte back, 7001 speaks first, 7002 stops listening once somebody connected through it.
function portOf(containerPort: number): number {
	return Number(process.env[`PORT_${containerPort}`]);
}

createServer({ allowHalfOpen: true }, (socket) => {
	socket.on("error", () => socket.destroy());
	socket.pipe(socket);
}).listen(portOf(7000));

createServer((socket) => {
	socket.on("error", () => socket.destroy());
	socket.write("220 ready\r\n");
	socket.on("data", (line: Buffer) => socket.end(`250 ${line.toString()}`));
}).listen(portOf(7001));

const closing = createServer((socket) => {
	socket.on("error", () => socket.destroy());
	// The launcher's own look whether the port listens sends nothing.
	socket.on("data", () => {
		closing.close();
		socket.end("closed");
	});
}).listen(portOf(7002));
