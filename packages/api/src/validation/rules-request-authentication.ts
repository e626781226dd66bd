import type { JWTRule, RequestAuthenticationSpec } from "../schema/request-authentication.ts";
import type { Report } from "./report.ts";
import { checkDuration, checkHeaderName } from "./rules-common.ts";
import { checkPolicyTarget } from "./rules-policy-target.ts";
import { isRecord } from "./schema-walk.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/security/request_authentication/

export function checkRequestAuthentication(report: Report, spec: RequestAuthenticationSpec): void {
	checkPolicyTarget(report, spec);
	for (const [i, rule] of (spec.jwtRules ?? []).entries()) checkJwtRule(report.at("jwtRules", i), rule);
}

function checkJwtRule(report: Report, rule: JWTRule): void {
	const { issuer, jwksUri, jwks_uri: oldJwksUri, jwks } = rule;
	if (issuer === "") report.at("issuer").error("the issuer is empty; write what tokens have in iss");
	if (jwksUri !== undefined) checkJwksUri(report.at("jwksUri"), jwksUri);
	if (oldJwksUri !== undefined) checkJwksUri(report.at("jwks_uri"), oldJwksUri);
	if (jwks) checkJwks(report.at("jwks"), jwks);
	checkNonEmpty(report.at("audiences"), rule.audiences);
	checkNonEmpty(report.at("fromParams"), rule.fromParams);
	checkNonEmpty(report.at("fromCookies"), rule.fromCookies);
	checkNonEmpty(report.at("spaceDelimitedClaims"), rule.spaceDelimitedClaims);
	for (const [i, { name }] of (rule.fromHeaders ?? []).entries()) checkHeaderName(report.at("fromHeaders", i, "name"), name);
	for (const [i, { header, claim }] of (rule.outputClaimToHeaders ?? []).entries()) {
		if (!/^[-_A-Za-z0-9]+$/.test(header))
			report.at("outputClaimToHeaders", i, "header").error(`${quote(header)} is no valid HTTP header name; use letters, digits, "-" and "_"`);
		if (claim === "") report.at("outputClaimToHeaders", i, "claim").error("the claim's name is empty");
	}
	if (rule.outputPayloadToHeader) checkHeaderName(report.at("outputPayloadToHeader"), rule.outputPayloadToHeader);
	checkDuration(report.at("timeout"), rule.timeout);
}

function checkNonEmpty(report: Report, list: readonly string[] | undefined): void {
	for (const [i, text] of (list ?? []).entries()) if (text === "") report.at(i).error("empty values are not allowed; remove it");
}

function checkJwksUri(report: Report, text: string): void {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url === undefined) report.error(`${quote(text)} is no URL; write https:// and the address of the issuer's keys`);
	else if (url.protocol !== "https:" && url.protocol !== "http:") report.error(`${quote(text)}: only https:// and http:// are fetched`);
	else if (url.username !== "" || url.password !== "") report.error(`${quote(text)} must not contain a user name or password`);
}

function checkJwks(report: Report, text: string): void {
	try {
		const value: unknown = JSON.parse(text);
		if (!isRecord(value) || !Array.isArray(value["keys"])) return report.error('jwks is no JSON Web Key Set; write {"keys": [...]}');
		for (const [i, key] of value["keys"].entries()) {
			if (!isRecord(key) || typeof key["kty"] !== "string") report.error(`jwks: the key ${i} has no kty`);
			else if (key["d"] !== undefined || key["kty"] === "oct") report.error(`jwks: the key ${i} holds a secret; only public keys belong here`);
		}
	} catch (error) {
		report.error(`jwks is no JSON: ${error instanceof Error ? error.message : String(error)}`);
	}
}
