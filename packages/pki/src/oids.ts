/** Object identifiers by the names RFC 5280, RFC 4055 and RFC 5480 give them. */
export const oids = {
	commonName: "2.5.4.3",
	organizationName: "2.5.4.10",
	subjectKeyIdentifier: "2.5.29.14",
	keyUsage: "2.5.29.15",
	subjectAltName: "2.5.29.17",
	basicConstraints: "2.5.29.19",
	authorityKeyIdentifier: "2.5.29.35",
	extKeyUsage: "2.5.29.37",
	serverAuth: "1.3.6.1.5.5.7.3.1",
	clientAuth: "1.3.6.1.5.5.7.3.2",
	sha256WithRSAEncryption: "1.2.840.113549.1.1.11",
	sha384WithRSAEncryption: "1.2.840.113549.1.1.12",
	sha512WithRSAEncryption: "1.2.840.113549.1.1.13",
	ecdsaWithSHA256: "1.2.840.10045.4.3.2",
	ecdsaWithSHA384: "1.2.840.10045.4.3.3",
	ecdsaWithSHA512: "1.2.840.10045.4.3.4",
} as const;
