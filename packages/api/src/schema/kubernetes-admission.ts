import { list, open, opt, type StaticOf, text } from "./builders.ts";
import { kubeLabelSelectorSchema } from "./kubernetes-workload.ts";

/** What an analysis reads of it: whom a webhook is asked about, and who answers. */
export const mutatingWebhookConfigurationSchema = open({
	webhooks: opt(
		list(
			open({
				name: text(),
				namespaceSelector: opt(kubeLabelSelectorSchema),
				objectSelector: opt(kubeLabelSelectorSchema),
				clientConfig: open({ url: opt(text()), service: opt(open({ namespace: text(), name: text() })) }),
			}),
		),
	),
});
export type MutatingWebhookConfigurationSpec = StaticOf<typeof mutatingWebhookConfigurationSchema>;
