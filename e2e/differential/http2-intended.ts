import type { Intended } from "./intended.ts";

const all = /^/;

/** As `intended.ts`, of the cases of HTTP/2: `group: case`. */
export const http2Intended: readonly Intended[] = [
	{
		case: all,
		path: /^events\/\d+$|^stats\/http2\.goaway_sent$/,
		why: "RFC 9113 §5.4.1: a client whose connection is ended is told why, and which of its streams were looked at",
	},
	{
		case: all,
		path: /^upstreamEvents\/\d+$|^stats\/cluster\.[^.]+\.http2\.goaway_sent$/,
		why: "RFC 9113 §5.4.1: an upstream is told, too",
	},
	{
		case: all,
		path: /downstream_cx_delayed_close_timeout$/,
		why: "our half is closed at once behind what was sent, so clients close theirs before the timeout",
	},
	{
		case: /: scheme https$/,
		path: /^upstream\/0\/headers\/$/,
		why: "the scheme is that of the connection or of x-forwarded-proto, never what a client claims: require_tls and redirects go by it",
	},
	{
		case: /: white space around a value$/,
		path: /^upstream\/0\/headers\/x-a$/,
		why: "RFC 9113 §8.2.1: no value begins or ends with white space; it would be another value in HTTP/1",
	},
	{
		case: /: local reply, |: another protocol$/,
		path: /^streams\/0\/ending$|^stats\/http2\.tx_reset$/,
		why: "what follows an answer that is complete is refused at once; Envoy first reads on what came with the request",
	},
	{
		case: /: (less than content-length|answer: less than its length)$/,
		path: /^log\/0\/(received|sent)$|^(streams|upstream)\/0\/body$/,
		why: "the data before the missing part has been passed on when its frame ends the stream",
	},
	{
		case: /: (data on a stream that has ended|window of a stream overflows|WINDOW_UPDATE of 0)$/,
		path: all,
		why: "RFC 9113 §5.1, §6.9: an error of the stream, not of the connection that it shares",
	},
	{ case: /: an id below the last$/, path: all, why: "RFC 9113 §5.1.1: an error of the connection" },
	{
		case: /: (a field block that is none|a field block that does not end)$/,
		path: all,
		why: "no request has been read, so none is answered, counted or logged",
	},
	{
		case: /: upstream goes away (below the stream|because of an error|with streams above and below)/,
		path: all,
		why: "RFC 9113 §6.8: what the host says that it has not looked at is sent once more on another connection, and is no retry",
	},
	{
		case: /: (upstream goes away and answers|another connection after upstream went away|one request a connection upstream)$/,
		path: /upstream_cx_protocol_error$/,
		why: "a connection that is closed after its last stream has broken no rule",
	},
	{ case: /: more streams than allowed$/, path: all, why: "RFC 9113 §5.1.2: the stream is refused, and those below the limit go on" },
	{ case: /: a request behind the last of a connection$/, path: /max_requests_reached$/, why: "a connection reaches its limit once" },
	{
		case: /: (.*head too large.*|path too large|too many headers|one header more than allowed|more headers than by default)$/,
		path: /^log\/0\/(flags|status)$|^streams\/0\/(ending|headers)$|downstream_rq_(4xx|completed|rx_reset|too_large)$/,
		why: "the client is told by 431, as in HTTP/1, where Envoy only resets",
	},
	{
		case: /^tunnels: /,
		path: /^log\/0\/received$|downstream_(cx_upgrades_total|flow_control_\w+|rq_response_before_rq_complete|rq_rx_reset)$|service-time$/,
		why: "what a client sends before the upstream has agreed to a tunnel waits for that, and an upgrade is one once it was agreed to",
	},
	{
		case: /^tunnels: websocket/,
		path: /sec-websocket-(key|accept)$/,
		why: "RFC 6455 §4.1: a server of HTTP/1 refuses a handshake without a key, so it gets one",
	},
	{
		case: /^tunnels: websocket refused by HTTP\/[12]$/,
		path: /^upstream\/0\/(body|ending)$|tx_reset$|destroy_(local_)?with_active_rq$/,
		why: "a refused tunnel's bytes are not sent to where nobody wants them",
	},
	{
		case: /^tunnels: websocket to HTTP\/1$/,
		path: /^(log|stats|streams)/,
		why: "a tunnel's half-close is passed on, not taken for the end of both directions",
	},
	{ case: /: client closes its half while it waits$/, path: /headers_cb_no_stream$/, why: "an answer that crossed our reset is counted" },
	{
		case: /: more data than the window$/,
		path: /(up|down)stream_flow_control_\w+_total$/,
		why: "the client's window, not the proxy's buffer, is what fills up first",
		isByChance: true,
	},
];
