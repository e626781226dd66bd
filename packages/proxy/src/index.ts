export { runCommand } from "./main/command.ts";
export { type Server, type ServerOptions, startServer } from "./main/server.ts";
