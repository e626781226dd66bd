// The runner's own report, with every skipped test named at the end together with what enables it.
import { spec } from "node:test/reporters";
import { Transform } from "node:stream";

const skipped = [];

export default class Reporter extends Transform {
	#spec = new spec();
	constructor() {
		super({ writableObjectMode: true });
		this.#spec.on("data", (text) => this.push(text));
	}
	_transform(event, encoding, done) {
		if (event.type === "test:pass" && typeof event.data.skip === "string") skipped.push(`${event.data.name}: ${event.data.skip}`);
		if (event.type === "test:pass" && event.data.nesting > 0 && event.data.skip === undefined) return done();
		this.#spec.write(event, encoding, done);
	}
	_flush(done) {
		if (skipped.length > 0) this.push(`\nSkipped here, and what enables it:\n${skipped.map((s) => `  - ${s}`).join("\n")}\n`);
		done();
	}
}
