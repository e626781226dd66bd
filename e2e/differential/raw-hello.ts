import { Duplex } from "node:stream";
import { connect } from "node:tls";

/** The first bytes that a TLS client would send. `serverName` "": without SNI. */
export function clientHello(serverName: string, protocols: readonly string[]): Promise<Buffer> {
	return new Promise((resolve) => {
		const wire = new Duplex({
			read() {},
			write(bytes: Buffer, _, done) {
				resolve(bytes);
				done();
				wire.destroy();
			},
		});
		connect({ socket: wire, ...(serverName !== "" && { servername: serverName }), ALPNProtocols: [...protocols], rejectUnauthorized: false }).on(
			"error",
			() => {},
		);
	});
}
