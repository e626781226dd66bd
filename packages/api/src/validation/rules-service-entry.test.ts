import { testRules } from "./testing.ts";

const ports = "ports: [{number: 80, name: http, protocol: HTTP}]";

testRules("ServiceEntry", [
	["an external host is valid", `{hosts: [a.com], ${ports}, resolution: DNS, location: MESH_EXTERNAL}`],
	["hosts are required", `{${ports}}`, /hosts: the field "hosts" is required/],
	["hosts are not empty", `{hosts: [], ${ports}}`, /hosts: service entry must have at least one host/],
	["* alone is refused", `{hosts: ["*"], ${ports}}`, /hosts\[0\]/],
	["a wildcard cannot be resolved", `{hosts: ["*.a.com"], ${ports}, resolution: DNS}`, /hosts\[0\]: .*cannot be resolved/],
	["a wildcard without resolution is valid", `{hosts: ["*.a.com"], ${ports}, resolution: NONE}`],
	["hosts may be resolved by request", `{hosts: ["*.a.com"], ${ports}, resolution: DYNAMIC_DNS}`],
	["then they are wildcards", `{hosts: [a.com], ${ports}, resolution: DYNAMIC_DNS}`, /^error spec\.hosts\[0\]: .*no wildcard/],
	["outside the mesh or inside", `{hosts: ["*.a.com"], ${ports}, resolution: DYNAMIC_DNS, location: MESH_INTERNAL}`],
	["without addresses", `{hosts: ["*.a.com"], ${ports}, addresses: [10.0.0.1], resolution: DYNAMIC_DNS}`, /^error spec\.addresses: no addresses/],
	[
		"and the protocol names them",
		`{hosts: ["*.a.com"], ports: [{number: 1, name: a}, {number: 2, name: b, protocol: HTTPS}, {number: 3, name: c, protocol: tls}], resolution: DYNAMIC_DNS}`,
		/^error spec\.ports\[0\]\.protocol/,
		/^error spec\.ports\[1\]\.protocol/,
	],
	["which is written", `{hosts: ["*.a.com"], ports: [{number: 80, name: http}], resolution: DYNAMIC_DNS}`, /^error spec\.ports\[0\]\.protocol: .*not unknown/],
	[
		"port names and numbers are unique",
		"{hosts: [a.com], ports: [{number: 80, name: h, protocol: HTTP}, {number: 80, name: h, protocol: HTTP}]}",
		/ports\[1\]\.name/,
		/ports\[1\]\.number/,
	],
	["ports are from 1 to 65535", "{hosts: [a.com], ports: [{number: 0, name: h, protocol: HTTP}]}", /ports\[0\]\.number/],
	["protocols are known", "{hosts: [a.com], ports: [{number: 80, name: h, protocol: HTPP}]}", /ports\[0\]\.protocol: .*did you mean "HTTP"/],
	[
		"addresses are IPs or CIDRs",
		`{hosts: [a.com], addresses: [10.0.0.0/8, nope], ${ports}, resolution: STATIC, endpoints: [{address: 1.2.3.4}]}`,
		/addresses\[1\]/,
	],
	["CIDRs need NONE or STATIC", `{hosts: [a.com], addresses: [10.0.0.0/8], ${ports}, resolution: DNS}`, /addresses\[0\]: CIDR/],
	["NONE has no endpoints", `{hosts: [a.com], ${ports}, endpoints: [{address: 1.2.3.4}]}`, /endpoints: .*NONE/],
	["STATIC needs IP addresses", `{hosts: [a.com], ${ports}, resolution: STATIC, endpoints: [{address: b.com}]}`, /endpoints\[0\]\.address/],
	["DNS may have names", `{hosts: [a.com], ${ports}, resolution: DNS, endpoints: [{address: b.com, ports: {http: 8080}}]}`],
	[
		"round robin has one endpoint",
		`{hosts: [a.com], ${ports}, resolution: DNS_ROUND_ROBIN, endpoints: [{address: b.com}, {address: c.com}]}`,
		/endpoints: .*one endpoint/,
	],
	[
		"an endpoint's ports are the entry's",
		`{hosts: [a.com], ${ports}, resolution: STATIC, endpoints: [{address: 1.2.3.4, ports: {https: 443}}]}`,
		/endpoints\[0\]\.ports\.https/,
	],
	["a socket's path is absolute", `{hosts: [a.com], ${ports}, resolution: STATIC, endpoints: [{address: "unix://rel"}]}`, /endpoints\[0\]\.address/],
	["a socket is not found by DNS", `{hosts: [a.com], ${ports}, resolution: DNS, endpoints: [{address: "unix:///s"}]}`, /endpoints\[0\]\.address: .*STATIC/],
	[
		"a socket serves one port",
		"{hosts: [a.com], ports: [{number: 80, name: a, protocol: HTTP}, {number: 81, name: b, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 'unix:///s'}]}",
		/ports: exactly 1/,
	],
	["several hosts need HTTP or TLS", "{hosts: [a.com, b.com], ports: [{number: 80, name: t, protocol: TCP}], resolution: DNS}", /hosts: multiple hosts/],
	["several hosts by their addresses are valid", "{hosts: [a.com, b.com], addresses: [10.0.0.1], ports: [{number: 80, name: t, protocol: TCP}]}"],
	["a port of TCP without an address is a warning", "{hosts: [a.com], ports: [{number: 80, name: t}]}", /warning spec\.ports\[0\]: without addresses/],
	["an IP address is no host", `{hosts: [1.2.3.4], ${ports}}`, /hosts\[0\]/],
	["a selector goes with STATIC", `{hosts: [a.com], ${ports}, resolution: DNS, workloadSelector: {labels: {app: a}}}`, /warning spec\.workloadSelector/],
	[
		"an empty selector is a warning",
		`{hosts: [a.com], ${ports}, resolution: STATIC, workloadSelector: {}}`,
		/warning spec\.workloadSelector: .*without labels/,
	],
	["a socket has no ports", `{hosts: [a.com], ${ports}, resolution: STATIC, endpoints: [{address: "unix:///s", ports: {http: 1}}]}`, /endpoints\[0\]\.ports/],
	[
		"selector and endpoints exclude each other",
		`{hosts: [a.com], ${ports}, resolution: STATIC, workloadSelector: {labels: {app: a}}, endpoints: [{address: 1.2.3.4}]}`,
		/workloadSelector: only one/,
	],
	["a service entry may be exported to nobody", `{hosts: [a.com], ${ports}, exportTo: ["~"]}`],
]);

testRules("WorkloadEntry", [
	["an address is enough", "{address: 1.2.3.4}"],
	["all fields are valid", "{address: vm.example.com, ports: {http: 8080}, labels: {app: a}, network: n, locality: r/z, weight: 3, serviceAccount: sa}"],
	["without address and network it is refused", "{labels: {app: a}}", /address/],
	["a network stands for an address, with a warning", "{network: n}", /warning spec\.address/],
	["an address is a name", '{address: "a b"}', /address/],
	["ports are from 1 to 65535", "{address: 1.2.3.4, ports: {http: 0}}", /ports\.http/],
]);
