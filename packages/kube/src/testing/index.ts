export { type FakeApiServer, startFakeApiServer, type WatchFault } from "./fake-api-server.ts";
export { type FaultProxy, startFaultProxy } from "./fault-proxy.ts";
export { connectTestCluster, noTestCluster, type TestCluster } from "./test-cluster.ts";
export { until } from "./until.ts";
