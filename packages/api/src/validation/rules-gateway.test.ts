import { testRules } from "./testing.ts";

const server = (fields: string) => `{selector: {istio: gw}, servers: [{${fields}}]}`;
const httpPort = "port: {number: 80, name: http, protocol: HTTP}";
const httpsPort = "port: {number: 443, name: https, protocol: HTTPS}";
const tls = (fields: string) => server(`${httpsPort}, hosts: [a.com], tls: {${fields}}`);

testRules("Gateway", [
	["an HTTP server is valid", server(`${httpPort}, hosts: ["*", ns/a.com, ./b.com, "*/c.com"]`)],
	["a gateway has servers", "{selector: {istio: gw}}", /servers: .*at least one/],
	["a server has hosts", server(`${httpPort}, hosts: []`), /hosts: .*at least one/],
	["hosts are domains", server(`${httpPort}, hosts: ["a/b/c", "~/*", "a..b"]`), /hosts\[0\]/, /hosts\[1\]/, /hosts\[2\]/],
	["a port has number, name and protocol", server("port: {number: 0}, hosts: [a.com]"), /port\.number/, /port\.name/, /port\.protocol/],
	["protocols are known", server("port: {number: 80, name: x, protocol: HTTTP}, hosts: [a.com]"), /port\.protocol/],
	[
		"port names are unique",
		`{servers: [{${httpPort}, hosts: [a.com]}, {port: {number: 81, name: http, protocol: HTTP}, hosts: [b.com]}]}`,
		/servers\[1\]\.port\.name: .*duplicate/,
	],
	["an HTTPS server has tls", server(`${httpsPort}, hosts: [a.com]`), /tls: .*must have tls/],
	["an HTTP server has none", server(`${httpPort}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: c}`), /tls: .*cannot have tls/],
	["an HTTP server's tls may say nothing", server(`${httpPort}, hosts: [a.com], tls: {httpsRedirect: false}`)],
	["an HTTP server that redirects ends no TLS", server(`${httpPort}, hosts: [a.com], tls: {httpsRedirect: true, mode: SIMPLE}`), /tls: .*cannot have tls/],
	[
		"a TCP server has no tls",
		server("port: {number: 90, name: tcp, protocol: TCP}, hosts: [a.com], tls: {mode: PASSTHROUGH}"),
		/tls: .*protocol TCP cannot have tls/,
	],
	["an HTTP server may redirect", server(`${httpPort}, hosts: [a.com], tls: {httpsRedirect: true}`)],
	["an HTTPS server does not redirect", tls("mode: SIMPLE, credentialName: c, httpsRedirect: true"), /warning .*httpsRedirect/],
	["a port has no target", server("port: {number: 80, name: http, protocol: HTTP, targetPort: 8080}, hosts: [a.com]"), /targetPort: targetPort has no impact/],
	[
		"cipher suites are Envoy's, each once",
		tls("mode: SIMPLE, credentialName: c, cipherSuites: [ECDHE-RSA-AES128-SHA, ZZ, ECDHE-RSA-AES128-SHA]"),
		/warning .*cipherSuites: ignoring invalid cipher suites: \[ZZ\]/,
		/warning .*ignoring duplicate cipher suites: \[ECDHE-RSA-AES128-SHA\]/,
	],
	["SIMPLE by credential is valid", tls("mode: SIMPLE, credentialName: c")],
	["SIMPLE by files is valid", tls("mode: SIMPLE, serverCertificate: /c, privateKey: /k")],
	["SIMPLE needs certificate and key", tls("mode: SIMPLE"), /serverCertificate/, /privateKey/],
	["MUTUAL needs a CA, too", tls("mode: MUTUAL, serverCertificate: /c, privateKey: /k"), /caCertificates/],
	["two certificates are valid", tls("mode: SIMPLE, tlsCertificates: [{serverCertificate: /c, privateKey: /k}, {serverCertificate: /d, privateKey: /l}]")],
	["a credential and files exclude each other", tls("mode: SIMPLE, credentialName: c, serverCertificate: /s, privateKey: /k"), /tls: only one of/],
	["TLS below 1.2 needs suites of its own", tls("mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_1"), /warning .*minProtocolVersion/],
	["credentialName and credentialNames exclude each other", tls("mode: SIMPLE, credentialName: c, credentialNames: [d]"), /credentialNames/],
	["ISTIO_MUTUAL has no certificates", tls("mode: ISTIO_MUTUAL, credentialName: c"), /tls: ISTIO_MUTUAL/],
	["a CRL may stand beside a credential", tls("mode: MUTUAL, credentialName: c, caCrl: /crl")],
	["a CRL is of no use for SIMPLE", tls("mode: SIMPLE, serverCertificate: /c, privateKey: /k, caCrl: /crl"), /error .*caCrl/],
	["but is let pass beside a credential", tls("mode: SIMPLE, credentialName: c, caCrl: /crl"), /warning .*caCrl/],
	["half a pair of files beside a credential is not read", tls("mode: SIMPLE, credentialName: c, privateKey: /k")],
	["PASSTHROUGH with certificates is a warning", tls("mode: PASSTHROUGH, credentialName: c"), /warning .*PASSTHROUGH/],
	["AUTO_PASSTHROUGH needs no certificates", tls("mode: AUTO_PASSTHROUGH")],
	["versions are in order", tls("mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2"), /minProtocolVersion/],
	[
		"hosts have domains",
		server(`${httpPort}, hosts: [short, ns/short, "ns/*-a.com"]`),
		/hosts\[0\]: short/,
		/hosts\[1\]: short/,
		/hosts\[2\]: partial wildcard/,
	],
	["a socket is bound by its path, without a port", server('port: {number: 0, name: http, protocol: HTTP}, hosts: [a.com], bind: "unix:///var/s"')],
	["a port beside a socket is refused", server(`${httpPort}, hosts: [a.com], bind: "unix://@s"`), /port\.number: a unix socket has no port/],
	["the path of a socket is a file's", server('port: {number: 0, name: http, protocol: HTTP}, hosts: [a.com], bind: "unix:///var/"'), /bind: .*absolute path/],
	[
		"a selector that no workload fits is a warning",
		`{selector: {a: "b c", "*": d}, servers: [{${httpPort}, hosts: [a.com]}]}`,
		/warning .*selector\.a/,
		/warning .*selector/,
	],
	["a bind address is an IP", server(`${httpPort}, hosts: [a.com], bind: here`), /bind/],
]);
