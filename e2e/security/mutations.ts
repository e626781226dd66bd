/** One hostile request. `smuggled` names the path of a request hidden in its body. */
export interface Mutation {
	readonly name: string;
	readonly bytes: string;
}

const controls: readonly number[] = [0, 1, 7, 8, 9, 10, 11, 12, 13, 14, 27, 31, 32, 44, 59, 95, 127, 128, 133, 160, 173, 194, 239, 255];
const hex = (code: number) => `0x${code.toString(16).padStart(2, "0")}`;

export const smuggledPath = "/smuggled";
const smuggled = `GET ${smuggledPath} HTTP/1.1\r\nhost: evil.test\r\n\r\n`;
const chunkedBody = `0\r\n\r\n${smuggled}`;

/** A framing header pair that a parser may read in two ways once a byte is put somewhere; `mark` is where. */
interface Form {
	readonly name: string;
	readonly name1: string;
	readonly value1: string;
	/** A second header, whole and well formed. */
	readonly other: string;
	readonly body: string;
}

const forms: readonly Form[] = [
	{ name: "TE beside CL", name1: "Transfer-Encoding", value1: "chunked", other: `Content-Length: ${chunkedBody.length}\r\n`, body: chunkedBody },
	{ name: "TE beside a short CL", name1: "Transfer-Encoding", value1: "chunked", other: "Content-Length: 5\r\n", body: chunkedBody },
	{ name: "TE alone", name1: "Transfer-Encoding", value1: "chunked", other: "", body: chunkedBody },
	{ name: "TE twice", name1: "Transfer-Encoding", value1: "identity", other: "Transfer-Encoding: chunked\r\n", body: chunkedBody },
	{ name: "CL alone", name1: "Content-Length", value1: String(smuggled.length), other: "", body: smuggled },
	{ name: "CL twice", name1: "Content-Length", value1: "0", other: `Content-Length: ${smuggled.length}\r\n`, body: smuggled },
	{ name: "Host twice", name1: "Host", value1: "evil.test", other: "", body: smuggled },
];

type Place = (name: string, value: string, byte: string) => string;

const half = (text: string): readonly [string, string] => [text.slice(0, text.length >> 1), text.slice(text.length >> 1)];

/** Where in a header line the byte goes; each gives the line with its end. */
const places: Readonly<Record<string, Place>> = {
	"before the name": (name, value, byte) => `${byte}${name}: ${value}\r\n`,
	"in the name": (name, value, byte) => `${half(name).join(byte)}: ${value}\r\n`,
	"before the colon": (name, value, byte) => `${name}${byte}: ${value}\r\n`,
	"for the colon": (name, value, byte) => `${name}${byte} ${value}\r\n`,
	"after the colon": (name, value, byte) => `${name}:${byte}${value}\r\n`,
	"in the value": (name, value, byte) => `${name}: ${half(value).join(byte)}\r\n`,
	"after the value": (name, value, byte) => `${name}: ${value}${byte}\r\n`,
	"for CR": (name, value, byte) => `${name}: ${value}${byte}\n`,
	"between CR and LF": (name, value, byte) => `${name}: ${value}\r${byte}\n`,
	"for the line end": (name, value, byte) => `${name}: ${value}${byte}`,
	"in a line of its own before": (name, value, byte) => `x: y\r\n${byte}\r\n${name}: ${value}\r\n`,
	"in a line end before": (name, value, byte) => `x: y\r\n${byte}${name}: ${value}\r\n`,
};

function* mutateHeaders(): Generator<Mutation> {
	for (const form of forms) {
		for (const [place, put] of Object.entries(places)) {
			for (const code of controls) {
				const line = put(form.name1, form.value1, String.fromCharCode(code));
				// The other header on either side: the first and the last are what parsers disagree about.
				const headers = code % 2 === 0 ? `${form.other}${line}` : `${line}${form.other}`;
				yield { name: `${form.name}: ${hex(code)} ${place}`, bytes: `POST /mutation HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n${form.body}` };
			}
		}
	}
}

const requestLines: Readonly<Record<string, (byte: string) => string>> = {
	"before the method": (byte) => `${byte}POST /mutation HTTP/1.1\r\n`,
	"in the method": (byte) => `PO${byte}ST /mutation HTTP/1.1\r\n`,
	"after the method": (byte) => `POST${byte}/mutation HTTP/1.1\r\n`,
	"in the target": (byte) => `POST /mut${byte}ation HTTP/1.1\r\n`,
	"after the target": (byte) => `POST /mutation${byte}HTTP/1.1\r\n`,
	"in the version": (byte) => `POST /mutation HTTP/1${byte}1\r\n`,
	"after the version": (byte) => `POST /mutation HTTP/1.1${byte}\r\n`,
	"between CR and LF": (byte) => `POST /mutation HTTP/1.1\r${byte}\n`,
};

function* mutateRequestLines(): Generator<Mutation> {
	for (const [place, put] of Object.entries(requestLines)) {
		for (const code of controls) {
			yield {
				name: `request line: ${hex(code)} ${place}`,
				bytes: `${put(String.fromCharCode(code))}Host: a.test\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
			};
		}
	}
}

const size = smuggled.length.toString(16);

/** Bodies by chunks, each wrong or odd in one point. */
const chunkBodies: Readonly<Record<string, (byte: string) => string>> = {
	"before a size": (byte) => `${byte}${size}\r\n${smuggled}\r\n0\r\n\r\n`,
	"after a size": (byte) => `${size}${byte}\r\n${smuggled}\r\n0\r\n\r\n`,
	"in an extension": (byte) => `${size};a${byte}b\r\n${smuggled}\r\n0\r\n\r\n`,
	"for the CR behind a size": (byte) => `${size}${byte}\n${smuggled}\r\n0\r\n\r\n`,
	"between CR and LF behind a size": (byte) => `${size}\r${byte}\n${smuggled}\r\n0\r\n\r\n`,
	"for the line end behind a chunk": (byte) => `${size}\r\n${smuggled}${byte}0\r\n\r\n${smuggled}`,
	"behind a chunk": (byte) => `${size}\r\n${smuggled}${byte}\r\n0\r\n\r\n`,
	"after the last size": (byte) => `0${byte}\r\n\r\n${smuggled}`,
	"in a trailer's name": (byte) => `0\r\nContent${byte}Length: 5\r\n\r\n${smuggled}`,
	"in a trailer's value": (byte) => `0\r\nx: a${byte}b\r\n\r\n${smuggled}`,
	"for the last line end": (byte) => `0\r\n${byte}${smuggled}`,
	"between the last CR and LF": (byte) => `0\r\n\r${byte}\n${smuggled}`,
};

const oddSizes = [
	"0x2",
	"+2",
	"-2",
	"00000000000000000002",
	"2_0",
	"2 ",
	" 2",
	"",
	"g",
	"ffffffffffffffff",
	"10000000000000002",
	"100000000",
	'2;a="\r\n"',
	"2;\n",
	"\n2",
	"2\n",
	"2.0",
	"2e0",
	"２",
	"0 0",
	"0,0",
	"-0",
	"0x0",
	"+0",
	"000",
];
const trailers = [
	"Content-Length: 5",
	"Transfer-Encoding: chunked",
	"Host: evil.test",
	"Connection: close",
	": x",
	" x: y",
	"x",
	"x : y",
	"x: y\rz",
	"x: y\nGET /smuggled HTTP/1.1",
];

function* mutateChunks(): Generator<Mutation> {
	const head = "POST /mutation HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
	for (const [place, put] of Object.entries(chunkBodies)) {
		for (const code of controls) yield { name: `chunks: ${hex(code)} ${place}`, bytes: `${head}${put(String.fromCharCode(code))}` };
	}
	for (const odd of oddSizes) yield { name: `chunks: size ${JSON.stringify(odd)}`, bytes: `${head}${odd}\r\nab\r\n0\r\n\r\n${smuggled}` };
	for (const odd of oddSizes) yield { name: `chunks: last size ${JSON.stringify(odd)}`, bytes: `${head}2\r\nab\r\n${odd}\r\n\r\n${smuggled}` };
	for (const trailer of trailers) yield { name: `chunks: trailer ${JSON.stringify(trailer)}`, bytes: `${head}0\r\n${trailer}\r\n\r\n${smuggled}` };
}

/** Control byte × position × header form, request lines, and the grammar of chunks. Always the same, in the same order. */
export function buildMutations(): readonly Mutation[] {
	return [...mutateHeaders(), ...mutateRequestLines(), ...mutateChunks()];
}
