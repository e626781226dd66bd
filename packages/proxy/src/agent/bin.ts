import { runAgent } from "./main.ts";

process.exit(await runAgent(process.argv.slice(2)));
