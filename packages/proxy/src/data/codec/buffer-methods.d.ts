/** Methods of Buffer that Node documents by their effect (`toString`, `write`) and that @types/node leaves out: without the look-up of an encoding. */
declare global {
	interface Buffer {
		latin1Slice(start?: number, end?: number): string;
		latin1Write(text: string, offset?: number): number;
	}
}

export {};
