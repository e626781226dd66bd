import assert from "node:assert/strict";
import { test } from "node:test";
import { readCpuShares, sumByClass } from "./stack-classes.ts";

// As perf 6 prints it: a comment block, then a line an entry, with columns of a call graph that is not there at its end.
const report = `
# Samples: 8K of event 'cpu-clock'
#
# Overhead  Shared Object        Symbol
    40.00%  [kernel.kallsyms]    [k] tcp_sendmsg_locked                -      -
    10.00%  [JIT] tid 4242       [.] 0x00007f1200001234                -      -
     5.00%  node                 [.] Builtins_LoadIC                   -      -
     4.00%  node                 [.] v8::internal::Scavenger::ScavengePage
     3.00%  node                 [.] v8::internal::compiler::GraphReducer::Reduce
     2.00%  node                 [.] v8::internal::String::WriteToFlat2<unsigned char>
     1.50%  node                 [.] node::crypto::TLSWrap::ClearOut
     1.25%  node                 [.] ossl_aes_gcm_encrypt_avx512
     1.00%  libc.so.6            [.] malloc
     0.50%  libcrypto.so.3       [.] EVP_CIPHER_CTX_get_iv_length
`;

test("a sample of Node's binary counts for what its name says, compiled code as JavaScript", () => {
	const sums = sumByClass(readCpuShares(report, "node"));
	const percents = Object.fromEntries([...sums].map(([name, share]) => [name, Math.round(share * 10_000) / 100]));
	assert.deepEqual(percents, {
		kernel: 40,
		JavaScript: 15,
		"garbage collection": 4,
		compiler: 3,
		V8: 2,
		"Node and libuv": 1.5,
		OpenSSL: 1.75,
		"libc and others": 1,
	});
});

test("another peer's binary is its program, whatever is linked into it", () => {
	const shares = readCpuShares("    60.00%  envoy  [.] EVP_AEAD_CTX_seal\n    40.00%  nginx  [.] ngx_http_parse_header_line\n", "envoy");
	assert.deepEqual(
		shares.map(({ cpuClass }) => cpuClass),
		["program", "libc and others"],
	);
});
