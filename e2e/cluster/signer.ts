import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { output } from "./kubectl.ts";

// A signer of the Kubernetes API, as cert-manager is one: it watches CertificateSigningRequests at the real API server and signs
// those that are approved and name it, with OpenSSL and a CA of its own. Nothing in it is the mesh's.

const collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

interface Condition {
	readonly type: string;
	readonly status: string;
	readonly reason?: string;
	readonly message?: string;
}

interface SigningRequest {
	readonly metadata: { readonly name: string };
	readonly spec: {
		/** Base64 of PEM. */
		readonly request: string;
		readonly signerName: string;
		/** Who made it, as the API server has written it down. */
		readonly username: string;
		readonly usages: readonly string[];
		readonly expirationSeconds: number;
	};
	readonly status?: { readonly conditions?: readonly Condition[]; readonly certificate?: string };
}

export type Verdict = "sign" | "hold" | { readonly reason: string; readonly message: string };

export interface SeenRequest {
	readonly spec: SigningRequest["spec"];
	/** The URI that it asks for. */
	readonly uri: string;
}

export interface Signer {
	readonly rootFile: string;
	readonly rootPem: string;
	/** Approved requests to this signer, each once, as they came. */
	readonly seen: readonly SeenRequest[];
	/** What becomes of a request that was made so long ago; what is held is judged again every second. */
	judge: (uri: string, ageMs: number) => Verdict;
	stop(): void;
}

export interface SignerOptions {
	readonly signerNames: readonly string[];
	readonly lifeSeconds: number;
}

const configuration = `[ca]
default_ca = signer
[signer]
database = index.txt
rand_serial = yes
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
x509_extensions = leaf
[any]
organizationName = optional
[leaf]
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth, clientAuth
`;

/** 20261126183935Z */
const asn1Time = (ms: number): string => `${new Date(ms).toISOString().replaceAll(/[-:T]|\..*/g, "")}Z`;

export async function startSigner({ signerNames, lifeSeconds }: SignerOptions): Promise<Signer> {
	const folder = mkdtempSync(join(tmpdir(), "weft-signer-"));
	const file = (name: string) => join(folder, name);
	const openssl = (...args: readonly string[]) => output("bash", ["-c", 'cd "$0" && exec openssl "$@"', folder, ...args]);
	writeFileSync(file("index.txt"), "");
	writeFileSync(file("ca.cnf"), configuration);
	const subject = ["-subj", "/O=Signer behind the Kubernetes API"];
	await openssl(
		"req",
		"-x509",
		"-newkey",
		"ec",
		"-pkeyopt",
		"ec_paramgen_curve:P-256",
		"-nodes",
		"-keyout",
		"ca.key",
		"-out",
		"ca.pem",
		"-days",
		"2",
		...subject,
	);

	const seen: SeenRequest[] = [];
	const known = new Set<string>();
	const timers = new Set<NodeJS.Timeout>();
	const signer: Signer = {
		rootFile: file("ca.pem"),
		rootPem: readFileSync(file("ca.pem"), "utf8"),
		seen,
		judge: () => "sign",
		stop() {
			watching.kill();
			for (const timer of timers) clearInterval(timer);
			rmSync(folder, { recursive: true });
		},
	};
	const writeStatus = async (request: SigningRequest, status: object): Promise<void> => {
		const written = { ...request, status: { ...request.status, ...status } };
		await output("kubectl", ["replace", "--raw", `${collection}/${request.metadata.name}/status`, "-f", "-"], { input: JSON.stringify(written) });
	};
	const sign = async (request: SigningRequest): Promise<void> => {
		const name = request.metadata.name;
		await openssl(
			"ca",
			"-config",
			"ca.cnf",
			"-batch",
			"-notext",
			"-in",
			`${name}.csr`,
			"-out",
			`${name}.pem`,
			"-enddate",
			asn1Time(Date.now() + lifeSeconds * 1_000),
		);
		await writeStatus(request, { certificate: readFileSync(file(`${name}.pem`)).toString("base64") });
	};
	// One after the other: `openssl ca` has one database.
	let last: Promise<unknown> = Promise.resolve();
	const settle = (request: SigningRequest, verdict: Exclude<Verdict, "hold">) => {
		const conditions = request.status?.conditions ?? [];
		const act = () =>
			verdict === "sign" ? sign(request) : writeStatus(request, { conditions: [...conditions, { type: "Failed", status: "True", ...verdict }] });
		// Requests are taken away by whoever made them, and that may be now.
		last = last.then(act).catch((error: unknown) => {
			if (!String(error).includes("(NotFound)")) console.error(`signer: ${request.metadata.name}: ${String(error)}`);
		});
	};
	const consider = async (request: SigningRequest) => {
		const { metadata, spec, status } = request;
		const isApproved = status?.conditions?.some(({ type }) => type === "Approved") === true;
		if (!signerNames.includes(spec.signerName) || !isApproved || known.has(metadata.name)) return;
		known.add(metadata.name);
		writeFileSync(file(`${metadata.name}.csr`), Buffer.from(spec.request, "base64"));
		const uri = /URI:([^,\s]+)/.exec(await openssl("req", "-noout", "-text", "-in", `${metadata.name}.csr`))?.[1] ?? "";
		seen.push({ spec, uri });
		const verdict = signer.judge(uri, 0);
		const sinceMs = Date.now();
		if (verdict !== "hold") return settle(request, verdict);
		const timer = setInterval(() => {
			const now = signer.judge(uri, Date.now() - sinceMs);
			if (now === "hold") return;
			clearInterval(timer);
			timers.delete(timer);
			settle(request, now);
		}, 1_000);
		timers.add(timer);
	};
	const watching = spawn("kubectl", ["get", "--raw", `${collection}?watch=true&timeoutSeconds=3600`], { stdio: ["ignore", "pipe", "inherit"] });
	createInterface(watching.stdout).on("line", (line) => {
		const { type, object } = JSON.parse(line) as { readonly type: string; readonly object: SigningRequest };
		if (type === "ADDED" || type === "MODIFIED") void consider(object).catch((error: unknown) => console.error(`signer: ${String(error)}`));
	});
	return signer;
}
