import { testRules } from "./testing.ts";

const egress = (hosts: string) => `{egress: [{hosts: [${hosts}]}]}`;
const ingress = (fields: string, protocol = "HTTP") => `{ingress: [{port: {number: 9080, protocol: ${protocol}, name: in}, ${fields}}]}`;

testRules("Sidecar", [
	["imports are valid", egress('"./*", istio-system/*, "*/a.com", "~/*", ns/a.b.svc.cluster.local')],
	["hosts have a namespace", egress("a.com"), /hosts\[0\]: .*namespace\/host/],
	["the tilde goes with * alone", egress('"~/a.com"'), /hosts\[0\]/],
	["hosts are not short", egress('"./a", "*/*.b"'), /hosts\[0\]: short names/],
	[
		"a host is imported once",
		egress('"./a.com", "default/a.com", "*/a.com"'),
		/warning spec\.egress\[0\]\.hosts\[1\]: duplicated egress host: "default\/a.com"/,
	],
	["* brings what stands beside it", egress('"ns/a.com", "ns/*"'), /warning .*hosts\[1\]: duplicated/],
	["*/* brings all", egress('"ns/a.com", "*/*"'), /warning spec\.egress\[0\]\.hosts: `\*\/\*` host select all/],
	[
		"names of ports are labels",
		"{ingress: [{port: {number: 1, protocol: HTTP, name: a_b}}], egress: [{port: {number: 1, protocol: HTTP, name: a.b}, hosts: ['./*']}]}",
		/ingress\[0\]\.port\.name/,
		/egress\[0\]\.port\.name/,
	],
	["an egress listener has hosts", egress(""), /hosts: .*at least one/],
	["an empty Sidecar is refused", "{}", /spec: a Sidecar must have/],
	[
		"an egress proxy is one host",
		'{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: "*.e", port: {number: 1}}}}',
		/egressProxy\.host: .*without \*/,
	],
	[
		"the listener without port is the last",
		"{egress: [{hosts: ['./*']}, {port: {number: 80, protocol: HTTP, name: h}, hosts: ['./*']}]}",
		/egress\[0\]: .*last/,
	],
	[
		"ports of egress listeners are unique",
		"{egress: [{port: {number: 80, protocol: HTTP, name: h}, hosts: ['./*']}, {port: {number: 80, protocol: HTTP, name: i}, hosts: ['./*']}]}",
		/egress\[1\]\.port: /,
	],
	[
		"one port on two addresses is refused, too",
		"{egress: [{bind: 127.0.0.8, port: {number: 80, protocol: HTTP, name: h}, hosts: ['./*']}, {bind: 127.0.0.9, port: {number: 80, protocol: HTTP, name: i}, hosts: ['./*']}]}",
		/egress\[1\]\.port: /,
	],
	["bind needs a port", "{egress: [{bind: 127.0.0.9, hosts: ['./*']}]}", /warning spec\.egress\[0\]\.bind/],
	["a default endpoint is valid", ingress('defaultEndpoint: "127.0.0.1:8080"')],
	["a socket as default endpoint is valid", ingress('defaultEndpoint: "unix:///var/s"')],
	["the pod's own address is valid", ingress('defaultEndpoint: "0.0.0.0:8080"')],
	["other hosts are no default endpoint", ingress('defaultEndpoint: "10.0.0.1:8080"'), /defaultEndpoint/],
	["a default endpoint has a port", ingress('defaultEndpoint: "127.0.0.1"'), /defaultEndpoint/],
	["an ingress listener has a port", "{ingress: [{port: {protocol: HTTP}}]}", /ingress\[0\]\.port/],
	[
		"ports of ingress listeners are unique",
		"{ingress: [{port: {number: 1, protocol: HTTP, name: a}}, {port: {number: 1, protocol: HTTP, name: b}}]}",
		/ingress\[1\]\.port\.number/,
	],
	["an ingress reads its certificate from files", ingress("tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}", "HTTPS")],
	["an ingress has no credential", ingress("tls: {mode: SIMPLE, credentialName: c}", "TLS"), /tls\.credentialName/],
	["an ingress is not for mesh TLS", ingress("tls: {mode: ISTIO_MUTUAL}", "HTTPS"), /tls\.mode/],
	[
		"an ingress of plain text has no tls",
		ingress("tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}"),
		/tls: only an ingress of protocol HTTPS or TLS/,
	],
	["targetPort has no effect", "{ingress: [{port: {number: 1, protocol: HTTP, name: a, targetPort: 2}}]}", /port\.targetPort/],
	["a socket listener has no number", "{egress: [{bind: 'unix:///s', port: {protocol: HTTP, name: a}, hosts: ['./*']}]}"],
	["a port without number needs a socket", "{egress: [{port: {protocol: HTTP, name: a}, hosts: ['./*']}]}", /egress\[0\]\.port/],
	["a port alone is a default endpoint", ingress('defaultEndpoint: ":8080"')],
	[
		"HTTP limits need an HTTP port",
		"{ingress: [{port: {number: 1, protocol: TCP, name: a}, connectionPool: {http: {maxRetries: 1}}}]}",
		/warning .*connectionPool\.http/,
	],
	["an empty selector is a warning", "{workloadSelector: {}, egress: [{hosts: ['./*']}]}", /warning spec\.workloadSelector/],
	[
		"an egress proxy goes with ALLOW_ANY",
		"{outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: e}}}",
		/egressProxy: egressProxy works/,
		/egressProxy\.port/,
	],
	["modes are known", "{outboundTrafficPolicy: {mode: REGISTRY}}", /mode: "REGISTRY" is not one of/],
]);

testRules("PeerAuthentication", [
	["an empty one is valid", "{}"],
	["STRICT is valid", "{mtls: {mode: STRICT}}"],
	["ports are valid with a selector", "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}"],
	["ports need a selector", "{portLevelMtls: {8080: {mode: DISABLE}}}", /portLevelMtls: .*selector/],
	[
		"ports are from 1 to 65535",
		"{selector: {matchLabels: {app: a}}, portLevelMtls: {0: {mode: DISABLE}, http: {mode: STRICT}}}",
		/portLevelMtls\["0"\]/,
		/portLevelMtls\.http/,
	],
	["an empty list of ports is refused", "{selector: {matchLabels: {app: a}}, portLevelMtls: {}}", /portLevelMtls: .*at least one/],
	["modes are known", "{mtls: {mode: strict}}", /mtls\.mode: .*did you mean "STRICT"/],
]);

testRules("Service", [
	["unknown fields of Kubernetes kinds are none of our business", "{ports: [{name: http, port: 80, targetPort: web}], whatever: {a: [1, null]}}"],
	["ports are from 1 to 65535", "{ports: [{port: 0}]}", /ports\[0\]\.port/],
	["several ports have names", "{ports: [{port: 80}, {port: 81, name: b}]}", /ports\[0\]\.name/],
	["an ExternalName has its name", "{type: ExternalName}", /externalName/],
]);
