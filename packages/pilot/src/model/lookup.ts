import type { ProxyNode } from "./proxy-node.ts";
import type { DestinationRule, InboundPort, MtlsMode, PushSnapshot, Scope } from "./push.ts";
import type { Endpoint, Service } from "./service.ts";
