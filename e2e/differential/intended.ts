/** A difference that was looked at and stays, with the reason. Both patterns have to match. */
export interface Intended {
	/** `suite: case`. */
	readonly case: RegExp;
	/** As in `Difference.path`. */
	readonly path: RegExp;
	readonly why: string;
	/** It shows only where one side is faster than the other. */
	readonly isByChance?: boolean;
}

const anywhere = /^/;

export const intended: readonly Intended[] = [
	{ case: /^HTTP\/1: request: two hosts$/, path: anywhere, why: "RFC 9112 §3.2 wants a 400; the next parser may believe the other host" },
	{ case: /^HTTP\/1: request: empty host$/, path: anywhere, why: "RFC 9110 §4.2.1: an http request without a host is invalid" },
	{ case: /^HTTP\/1: request: folded header$/, path: anywhere, why: "RFC 9112 §5.2 lets a server refuse what parsers read in two ways" },
	{ case: /^HTTP\/1: request: bare LF lines$/, path: anywhere, why: "two parsers would disagree about where the message ends" },
	{ case: /^HTTP\/1: request: bare CR in a value$/, path: anywhere, why: "RFC 9112 §2.2: a bare CR is refused or made a space, never dropped" },
	{
		case: /^HTTP\/1: response: 101 that nobody asked for$/,
		path: anywhere,
		why: "what follows would be taken for the next response on a connection that is reused",
	},
	{ case: /^HTTP\/1: response: hop-by-hop headers$/, path: /headers\/x-drop$/, why: "RFC 9110 §7.6.1: what `connection` names goes no further" },
	{ case: /: direct response (418|451|599)$|: direct response( to HEAD)?$/, path: /line$/, why: "reason phrases are those of the IANA registry" },
	{
		case: /^internal redirects: everything that a client may say$/,
		path: /^log\/1\/client$/,
		why: "whom a request is from does not change by where it is led: Envoy forgets what x-forwarded-for said",
	},
	{ case: /: 103 before$/, path: /interim/, why: "reason phrases are those of the IANA registry" },
	{
		case: /^replies: direct response (204|304)$/,
		path: /content-length$|sent$|^responses\/0\/body$|^responses\/0$/,
		why: "RFC 9112 §6.3: 204 and 304 have no body, and RFC 9110 §8.6: 204 has no length",
	},
	{
		case: /^replies: (upgrades: websocket|CONNECT through)$/,
		path: /^(log|stats)/,
		why: "a tunnel's half-close is passed on, not taken for the end of both directions",
	},
	{
		case: /^resilience: nothing comes on a kept connection$/,
		path: anywhere,
		why: "an idle connection is closed when its time is over, not a drain timeout later",
	},
	{
		case: /^resilience: (5xx|gateway-error): (a hang-up|hang-ups)|^retries: (no conditions, a hang-up|a budget of one retry a request, after a hang-up)$/,
		path: /^(upstream|stats)/,
		why: "a reused connection that ends without an answer is made good by one attempt that is not counted as a retry",
	},
	{
		case: /^resilience: no requests may wait, gRPC$/,
		path: anywhere,
		why: "the answer is given a moment later, when the request has been read: its connection can be kept",
	},
	{ case: /^paths: merge \/\/\/$/, path: anywhere, why: "nothing but slashes is one slash, as every other run of them" },
];
