// The ASN.1 reader and writer alone: the whole of node-forge would load its own ciphers and signatures, which nothing here may use.
declare module "node-forge/lib/asn1.js" {
	export interface Asn1 {
		readonly tagClass: number;
		readonly type: number;
		readonly constructed: boolean;
		readonly value: string | readonly Asn1[];
	}
	interface ByteBuffer {
		getBytes(): string;
	}
	interface ReadOptions {
		readonly strict: boolean;
		readonly parseAllBytes: boolean;
		readonly decodeBitStrings: boolean;
		readonly maxDepth: number;
	}
	const asn1: {
		create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1[]): Asn1;
		fromDer(bytes: string, options: ReadOptions): Asn1;
		toDer(node: Asn1): ByteBuffer;
		oidToDer(oid: string): ByteBuffer;
		derToOid(bytes: string): string;
	};
	export default asn1;
}
