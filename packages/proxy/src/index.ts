export { runCommand } from "./main/command.ts";
export { type Server, startServer } from "./main/server.ts";
export type { ServerOptions } from "./main/server-options.ts";
