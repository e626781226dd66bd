import { NetnsMesh } from "./mesh.ts";
const mesh = new NetnsMesh("d");
try {
const client = mesh.addPod({ name: "client", capture: {} });
const server = mesh.addPod({ name: "server", capture: {} });
mesh.addService({ name: "server", clusterIp: "10.96.0.10", pods: ["server"], ports: [{ name: "http", port: 80, targetPort: 8080 }] });
await mesh.startControlPlane();
mesh.startApp(server.host, "s", "http-echo", [], { PORT: "8080" });
mesh.startProxy(client); mesh.startProxy(server);
await mesh.ready(client); await mesh.ready(server);
const sh = (h: typeof client.host, c: string) => { try { console.log(h.run(["sh", "-c", c])); } catch (e) { console.log((e as Error).message, (e as {stdout: string}).stdout); } };
sh(client.host, "curl -s 127.0.0.1:15000/listeners; ss -ltnp");
sh(client.host, "curl -v --max-time 3 http://10.96.0.10/hello 2>&1");
sh(client.host, "iptables -t nat -L -v -n");
sh(client.host, "curl -s '127.0.0.1:15000/stats?usedonly' | grep -v 'agent\\|stats'");
sh(client.host, "curl -s 'localhost:15020/stats/prometheus' | head -50; curl -s 127.0.0.1:15000/config_dump | grep -n '\"name\": \"[0-9v]' | head");
console.log(mesh.logs());
} finally { await mesh.close(); }
