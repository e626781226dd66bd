/**
 * What matchers, filters and formatters see of a message's head. The codec implements these over the bytes it
 * read, and makes a string only when one is asked for; so ask for what you need and no more. All names are lower
 * case. Values are latin-1 strings without surrounding white space.
 */

export interface HeaderView {
	/** All values of `name` joined by ", " as RFC 9110 §5.3 allows; undefined when absent. */
	get(name: string): string | undefined;
	has(name: string): boolean;
	/** Replaces every value of `name`. */
	set(name: string, value: string): void;
	/** Adds one more field line. */
	append(name: string, value: string): void;
	/** Whether there was one. */
	remove(name: string): boolean;
	/** In wire order; one call for each field line. Pseudo headers are not among them. */
	forEach(visit: (name: string, value: string) => void): void;
}
