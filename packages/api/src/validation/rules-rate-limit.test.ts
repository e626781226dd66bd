import { testRules } from "./testing.ts";

const limit = (fields: string) => `{limits: [{requests: 5, unit: SECOND${fields === "" ? "" : `, ${fields}`}}]}`;

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
	["unknown fields are told", limit("rate: 5"), /rate/],
]);
