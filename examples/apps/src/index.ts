export { apps } from "./apps.ts";
export type { AppContext, Environment, RunningApp, StartApp } from "./environment.ts";
export { type ClientRequest, type ClientResponse, createHttpClient, type HttpClient } from "./http-client.ts";
export { buildJpeg, decodeJpegInfo, padJpeg } from "./jpeg.ts";
export { encodeMultipart } from "./multipart.ts";
