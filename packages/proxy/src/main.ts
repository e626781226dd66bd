#!/usr/bin/env node
import { runCommand } from "./main/command.ts";

process.exitCode = await runCommand(process.argv.slice(2), process.env);
