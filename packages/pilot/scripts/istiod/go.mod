module weft.dev/istiod-recorder

go 1.25.0

// What follows 1.30's branch by weeks: it gives every case of the recorded corpus as 1.30.3 does.
require istio.io/istio v0.0.0-20260423205519-b01690e6db7d
