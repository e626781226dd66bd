/** The file operations that a log needs; `node:fs` in the worker, memory in tests. */
export interface LogFileSystem {
	/** Opens for appending; throws when that cannot be. */
	open(path: string): number;
	/** Writes all of `data` in the background. */
	write(fd: number, data: Buffer, done: (error: Error | null) => void): void;
	close(fd: number): void;
}

export interface LogFile {
	/** Takes one line. Never blocks: when the disk is too slow, the line is dropped and counted. */
	write(line: string): void;
	/** Hands what is buffered to the file system; call it every second, and by itself it happens at 64 KiB. */
	flush(): void;
	/** For log rotation (SIGUSR1): later lines go to whatever is at the path then. */
	reopen(): void;
	/** Resolves once everything is written. */
	close(): Promise<void>;
	/** Lines that were not written since the start. */
	readonly dropped: number;
	/** The newest problem with the file; undefined when there was none. */
	readonly error: Error | undefined;
}

export interface LogFileOptions {
	readonly path: string;
	readonly files: LogFileSystem;
	/** Buffered at which the buffer is written; default 64 KiB. */
	readonly flushBytes?: number;
	/** Buffered and under way together, beyond which lines are dropped; default 1 MiB. */
	readonly bufferBytesMax?: number;
}

/** Throws what opening throws: a listener whose log cannot be opened is refused. */
export function createLogFile(options: LogFileOptions): LogFile {
	return new BufferedLogFile(options);
}

/** `/dev/stdout` and `/dev/stderr` are the process's own descriptors: opening them anew would truncate or lose their place. */
function standardDescriptor(path: string): number | undefined {
	return path === "/dev/stdout" ? 1 : path === "/dev/stderr" ? 2 : undefined;
}

class BufferedLogFile implements LogFile {
	dropped = 0;
	error: Error | undefined;
	readonly #path: string;
	readonly #files: LogFileSystem;
	readonly #flushBytes: number;
	readonly #bufferBytesMax: number;
	#fd: number;
	#buffer: Buffer;
	#used = 0;
	#linesBuffered = 0;
	/** Lines that did not fit the buffer while a write was under way. */
	#waiting: string[] = [];
	#waitingBytes = 0;
	#writing = false;
	#reopenWanted = false;
	#onIdle: (() => void) | undefined;

	constructor({ path, files, flushBytes = 65_536, bufferBytesMax = 1_048_576 }: LogFileOptions) {
		this.#path = path;
		this.#files = files;
		this.#flushBytes = flushBytes;
		this.#bufferBytesMax = bufferBytesMax;
		this.#buffer = Buffer.allocUnsafeSlow(flushBytes);
		this.#fd = standardDescriptor(path) ?? files.open(path);
	}

	write(line: string): void {
		// Three bytes a character is the most that UTF-8 takes; measuring only when it might not fit.
		if (this.#waiting.length === 0 && line.length * 3 <= this.#flushBytes - this.#used) {
			this.#used += this.#buffer.write(line, this.#used);
			this.#linesBuffered++;
			return;
		}
		const bytes = Buffer.byteLength(line);
		if (this.#used + this.#waitingBytes + bytes > this.#bufferBytesMax) {
			this.dropped++;
			return;
		}
		this.#waiting.push(line);
		this.#waitingBytes += bytes;
		this.flush();
	}

	flush(): void {
		if (this.#writing) return;
		this.#reopenNow();
		const lines = this.#linesBuffered + this.#waiting.length;
		if (lines === 0) {
			this.#onIdle?.();
			return;
		}
		const head = this.#buffer.subarray(0, this.#used);
		const data = this.#waiting.length === 0 ? head : Buffer.concat([head, Buffer.from(this.#waiting.join(""))]);
		// The bytes under way must stay as they are until the write is done.
		this.#buffer = Buffer.allocUnsafeSlow(this.#flushBytes);
		this.#used = this.#linesBuffered = this.#waitingBytes = 0;
		this.#waiting = [];
		this.#writing = true;
		this.#files.write(this.#fd, data, (error) => {
			this.#writing = false;
			if (error) {
				this.error = error;
				this.dropped += lines;
			}
			if (this.#waiting.length > 0 || this.#reopenWanted || this.#onIdle) this.flush();
		});
	}

	reopen(): void {
		this.#reopenWanted = true;
		this.flush();
	}

	#reopenNow(): void {
		if (!this.#reopenWanted) return;
		this.#reopenWanted = false;
		if (standardDescriptor(this.#path) !== undefined) return;
		try {
			const fresh = this.#files.open(this.#path);
			this.#files.close(this.#fd);
			this.#fd = fresh;
		} catch (cause) {
			// Better to go on with the old file than to lose the lines.
			this.error = cause instanceof Error ? cause : new Error(String(cause));
		}
	}

	close(): Promise<void> {
		return new Promise((resolve) => {
			this.#onIdle = () => {
				this.#onIdle = undefined;
				if (standardDescriptor(this.#path) === undefined) this.#files.close(this.#fd);
				resolve();
			};
			this.flush();
		});
	}
}
