import { anything, bool, int32, intOrString, labels, list, open, opt, type StaticOf, text } from "./builders.ts";

// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/: the fields that the mesh reads.

const containerPortSchema = open({ name: opt(text()), containerPort: int32(), protocol: opt(text()), hostPort: opt(int32()) });
export type ContainerPort = StaticOf<typeof containerPortSchema>;

const envVarSchema = open({ name: text(), value: opt(text()), valueFrom: opt(anything()) });
export type EnvVar = StaticOf<typeof envVarSchema>;

const probeSchema = open({
	httpGet: opt(
		open({
			path: opt(text()),
			port: intOrString(),
			host: opt(text()),
			scheme: opt(text()),
			httpHeaders: opt(list(open({ name: text(), value: opt(text()) }))),
		}),
	),
	tcpSocket: opt(open({ port: intOrString(), host: opt(text()) })),
	grpc: opt(open({ port: int32(), service: opt(text()) })),
	exec: opt(open({ command: opt(list(text())) })),
	initialDelaySeconds: opt(int32()),
	periodSeconds: opt(int32()),
	timeoutSeconds: opt(int32()),
	failureThreshold: opt(int32()),
	successThreshold: opt(int32()),
});
export type Probe = StaticOf<typeof probeSchema>;

const securityContextSchema = open({ runAsUser: opt(int32()) });

const containerSchema = open({
	name: text(),
	image: opt(text()),
	command: opt(list(text())),
	args: opt(list(text())),
	workingDir: opt(text()),
	env: opt(list(envVarSchema)),
	envFrom: opt(list(anything())),
	ports: opt(list(containerPortSchema)),
	readinessProbe: opt(probeSchema),
	livenessProbe: opt(probeSchema),
	startupProbe: opt(probeSchema),
	restartPolicy: opt(text()),
	securityContext: opt(securityContextSchema),
	volumeMounts: opt(list(open({ name: text(), mountPath: opt(text()), readOnly: opt(bool()), subPath: opt(text()) }))),
});
export type Container = StaticOf<typeof containerSchema>;

export const podSpecSchema = open({
	containers: list(containerSchema),
	initContainers: opt(list(containerSchema)),
	serviceAccountName: opt(text()),
	serviceAccount: opt(text()),
	nodeName: opt(text()),
	hostNetwork: opt(bool()),
	securityContext: opt(securityContextSchema),
	hostname: opt(text()),
	subdomain: opt(text()),
	restartPolicy: opt(text()),
	terminationGracePeriodSeconds: opt(int32()),
	volumes: opt(list(open({ name: text() }))),
});
export type PodSpec = StaticOf<typeof podSpecSchema>;

const conditionSchema = open({ type: text(), status: opt(text()), reason: opt(text()) });
export const podStatusSchema = open({
	phase: opt(text()),
	podIP: opt(text()),
	podIPs: opt(list(open({ ip: opt(text()) }))),
	hostIP: opt(text()),
	conditions: opt(list(conditionSchema)),
});
export type PodStatus = StaticOf<typeof podStatusSchema>;

const podTemplateSchema = open({
	metadata: opt(open({ name: opt(text()), labels: opt(labels()), annotations: opt(labels()) })),
	spec: podSpecSchema,
});
export type PodTemplate = StaticOf<typeof podTemplateSchema>;

export const kubeLabelSelectorSchema = open({
	matchLabels: opt(labels()),
	matchExpressions: opt(list(open({ key: text(), operator: text(), values: opt(list(text())) }))),
});
export type LabelSelector = StaticOf<typeof kubeLabelSelectorSchema>;

export const deploymentSchema = open({ replicas: opt(int32()), selector: opt(kubeLabelSelectorSchema), template: podTemplateSchema });
export type DeploymentSpec = StaticOf<typeof deploymentSchema>;

export const replicaSetSchema = open({ replicas: opt(int32()), selector: opt(kubeLabelSelectorSchema), template: opt(podTemplateSchema) });
export type ReplicaSetSpec = StaticOf<typeof replicaSetSchema>;

export const statefulSetSchema = open({
	replicas: opt(int32()),
	serviceName: opt(text()),
	selector: opt(kubeLabelSelectorSchema),
	template: podTemplateSchema,
});
export type StatefulSetSpec = StaticOf<typeof statefulSetSchema>;

export const jobSchema = open({ parallelism: opt(int32()), completions: opt(int32()), backoffLimit: opt(int32()), template: podTemplateSchema });
export type JobSpec = StaticOf<typeof jobSchema>;
