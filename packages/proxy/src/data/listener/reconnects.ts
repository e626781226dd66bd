/** A connection of HTTP, whose client can be told to make another. */
export interface Reconnecting {
	/** The next answer is its last, and no request is lost. It stays open while it is silent. */
	askToReconnect(): void;
}

/** 100 a second: handshakes of those that come again are to be a small part of a worker's work. */
const turnMs = 100;
const askedEachTurn = 10;

/**
 * Has clients come again, since the kernel chooses a worker only when a connection is made, and those of HTTP last: pools
 * made before there were other workers would keep this one busy for good. All come again: those that are made anew fall to
 * this worker, too, so that asking for less would leave it more than its share.
 */
export function askAllToReconnect(connections: readonly Reconnecting[], afterEvent: () => void): void {
	let next = 0;
	const timer = setInterval(() => {
		for (const connection of connections.slice(next, next + askedEachTurn)) connection.askToReconnect();
		afterEvent();
		next += askedEachTurn;
		if (next >= connections.length) clearInterval(timer);
	}, turnMs);
	timer.unref();
}
