import { testRules } from "./testing.ts";

const limit = (fields: string) => `{limits: [{requests: 5, unit: SECOND${fields === "" ? "" : `, ${fields}`}}]}`;

const descriptor = (fields: string) => `descriptors: [{entries: [{${fields}}]}]`;
const globalOf = (descriptors: string, more = "") => `{global: {host: rl, port: 8081, domain: shop, ${descriptors}${more === "" ? "" : `, ${more}`}}}`;
const global = (more: string) => globalOf(descriptor("key: user, header: x-user"), more);
const entry = (fields: string) => globalOf(descriptor(fields));

testRules("RateLimit", [
	["a limit is valid", limit("")],
	[
		"all of it is valid",
		`{selector: {matchLabels: {app: a}}, ${limit("burst: 9, match: {paths: [{prefix: /a}], methods: [GET], headers: [{name: x}]}, per: [{header: x-user}, {claim: sub}, {clientAddress: true}]").slice(1)}`,
	],
	["there is a limit", "{limits: []}", /limits: /],
	["a unit is known", "{limits: [{requests: 1, unit: WEEK}]}", /unit: .*WEEK/],
	["nothing at all is another policy's matter", "{limits: [{requests: 0, unit: HOUR}]}", /requests: .*AuthorizationPolicy/],
	["a burst is at least what is refilled", limit("burst: 4"), /burst: .*never be made use of/],
	["a path says something", limit("match: {paths: [{}]}"), /paths\[0\]: write one of/],
	["a path's expression compiles", limit("match: {paths: [{regex: '('}]}"), /regex/],
	["methods are methods", limit("match: {methods: ['G T']}"), /methods\[0\]: "G T" is no method/],
	["headers have names", limit("match: {headers: [{name: 'a b'}]}"), /name: "a b" is no header name/],
	["a key is one thing", limit("per: [{header: a, claim: b}]"), /only one of/],
	["a key says something", limit("per: [{}]"), /per\[0\]: write one of/],
	["an address is counted by or not", limit("per: [{clientAddress: false}]"), /clientAddress false counts nothing/],
	["a rate limit service alone is valid", global("")],
	["limits of both kinds are valid", `{limits: [{requests: 1, unit: HOUR}], ${global("timeout: 50ms, failureMode: CLOSED").slice(1)}`],
	["a service has a name", global("").replace("host: rl", "host: ''"), /host: the rate limit service has no name/],
	["a service has a port", global("").replace("port: 8081", "port: 0"), /port: 0 is no valid port/],
	["a domain has a name", global("").replace("domain: shop", "domain: ''"), /domain: the domain has no name/],
	["a failure mode is known", global("failureMode: MAYBE"), /failureMode: .*MAYBE/],
	["an entry has a key", entry("header: x"), /key: the entry has no key/],
	["an entry says something", entry("key: k"), /write one of header, claim and clientAddress/],
	["an entry is one thing", entry("key: k, header: x, value: y"), /only one of/],
	["an entry for requests that match has a value", entry("key: k, header: x, match: {methods: [GET]}"), /match goes with value/],
	["an entry for some requests is valid", entry("key: k, value: v, match: {paths: [{prefix: /a}]}")],
	["the key of an address is its own", entry("key: k, clientAddress: true"), /remote_address; leave it out/],
	["an address needs no key", entry("clientAddress: true")],
	["unknown fields are told", limit("rate: 5"), /rate/],
]);
