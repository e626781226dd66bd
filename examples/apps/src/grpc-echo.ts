import type { AppContext, RunningApp } from "./environment.ts";
import { startGrpcServer } from "./grpc-server.ts";

/** `/echo.Echo/Say` answers with the message it got, whatever it holds. */
export function startGrpcEcho(context: AppContext): Promise<RunningApp> {
	return startGrpcServer(context, 7_070, { "/echo.Echo/Say": (message) => message });
}
