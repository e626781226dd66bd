export { type Any, messageFns, packAny, registerMessages, stripTypeUrl, unpackAny } from "./any.ts";
export { type FromJsonOptions, fromJson, type Json, JsonError, jsonDepthMax, toJson } from "./json.ts";
export { mergeAny, mergeMessages, type MergeOptions } from "./merge.ts";
export type { MessageFns } from "./message.ts";
export { enumName, enumValues, type FieldSchema, type MessageSchema, messageSchema } from "./schema.ts";
export { validateConstraints } from "./validate.ts";
export { healthTypeUrl, typeUrls, type XdsType, xdsTypeOf } from "./type-urls.ts";
