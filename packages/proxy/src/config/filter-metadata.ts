/** `filter_metadata` by namespace: what a configuration says of itself, for logs and spans. */
export type FilterMetadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
