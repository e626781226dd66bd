import assert from "node:assert/strict";
import type { MeshConfig } from "@weft/api";
import { type Json, registerMessages, toJson } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import type { PushSnapshot } from "../../model/push.ts";
import { contextOf, createTestMesh } from "../routes/test-mesh.ts";
import type { ProxyContext } from "../context.ts";

// Helpers of this folder's tests: a server called `server` in `default` with the label `app: server`, and its mesh.

export const labels = { app: "server" };

export function serverContext(push: PushSnapshot, metadata: Readonly<Record<string, unknown>> = {}): ProxyContext {
	return contextOf(push, { LABELS: labels, ...metadata });
}

export function pushOf(yaml: string, meshConfig: MeshConfig = {}): PushSnapshot {
	return createTestMesh(meshConfig).apply(yaml);
}

interface Filter {
	readonly name: string;
	readonly typedConfig: { readonly typeUrl: string; readonly value: Uint8Array };
}

/** The configuration of a filter, as proto3 JSON. */
export function shown(filter: Filter | undefined): { readonly [key: string]: Json } {
	registerMessages(allMessages);
	assert.ok(filter, "the filter is there");
	return toJson("google.protobuf.Any", filter.typedConfig) as { readonly [key: string]: Json };
}

export const authorizationPolicy = (name: string, spec: string, rest = "") =>
	`---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${name}, namespace: default${rest}}\nspec: ${spec}\n`;

export const service = (name: string) =>
	`---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: default}\nspec: {clusterIP: 10.96.1.1, selector: {app: ${name}}, ports: [{name: http, port: 80}]}\n`;
