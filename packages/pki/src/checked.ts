/** The outcome of reading something that came from outside: a value, or one sentence on why it was refused. */
export type Checked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

export function accepted<T>(value: T): Checked<T> {
	return { ok: true, value };
}

export function refused(reason: string): { readonly ok: false; readonly reason: string } {
	return { ok: false, reason };
}

/** Turns what a library throws on bad input into a refusal; `attempt` names what was being done. */
export function checkedCall<T>(attempt: string, call: () => T): Checked<T> {
	try {
		return accepted(call());
	} catch (error) {
		return refused(`${attempt}: ${error instanceof Error ? error.message : String(error)}`);
	}
}
