export { type FakeApiServer, startFakeApiServer, type WatchFault } from "./fake-api-server.ts";
export { until } from "./until.ts";
