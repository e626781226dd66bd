import { HeaderBlock } from "./header-block.ts";

/** A response head, whatever codec it came through. */
export class ResponseHead extends HeaderBlock {
	/** As received; `status` may be changed. */
	status = 0;
	version = 11;
	reasonStart = 0;
	reasonEnd = 0;
	contentLength = -1;
	isChunked = false;
	/** The peer will close. */
	isClose = false;

	override clear(): void {
		super.clear();
		this.status = 0;
		this.version = 11;
		this.contentLength = -1;
		this.isChunked = this.isClose = false;
	}

	override get(name: string): string | undefined {
		return name === ":status" ? String(this.status) : super.get(name);
	}
}
