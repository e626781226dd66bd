export type AppendAction = "append" | "addIfAbsent" | "overwrite" | "overwriteIfExists";

export interface HeaderMutation {
	readonly name: string;
	/** Access-log style format string (%…% operators), compiled by the worker. */
	readonly value: string;
	readonly action: AppendAction;
	readonly keepEmpty: boolean;
}

export interface HeaderOperations {
	readonly requestAdd: readonly HeaderMutation[];
	readonly requestRemove: readonly string[];
	readonly responseAdd: readonly HeaderMutation[];
	readonly responseRemove: readonly string[];
}
