import { createServer } from "node:net";

/** Sends every byte back. */
createServer({ allowHalfOpen: true }, (socket) => {
	socket.on("error", () => socket.destroy());
	socket.pipe(socket);
}).listen(Number(process.env["PORT"]));
