#!/usr/bin/env python3
"""Records what a real istiod sends for the cases of packages/pilot/testdata/istiod.

    record.py [FAMILY/CASE…]        writes {cds,eds,lds,rds,ecds}.json beside each case's config.yaml
    record.py --check [CORPUS]      compares the recorder with a corpus that is recorded already

Needs Go, and the corpus beside the repository, whose mesh every case starts from. The first run builds istiod's packages (ten minutes).
"""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = os.path.normpath(os.path.join(HERE, "../../testdata/istiod"))
CORPUS = os.path.normpath(os.path.join(HERE, "../../../../../shared/golden/istiod"))
sys.path.insert(0, CORPUS)
from compare import MISSING, TYPES, compare, differences, name_of, read  # noqa: E402

ENVIRONMENT = {
    "PILOT_ENABLE_ALPHA_GATEWAY_API": "true",
    "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false",
    "INJECT_ENABLED": "false",
    "ENABLE_CA_SERVER": "false",
    "PILOT_TRACE_SAMPLING": "1",
}
BINARY = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "weft", "istiod-recorder")


def build():
    sources = [os.path.join(HERE, f) for f in ("main.go", "go.mod")]
    if os.path.exists(BINARY) and all(os.path.getmtime(f) < os.path.getmtime(BINARY) for f in sources):
        return
    print("building (ten minutes the first time)…", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for f in sources:
            with open(f, "rb") as source, open(os.path.join(folder, os.path.basename(f)), "wb") as copy:
                copy.write(source.read())
        environment = {**os.environ, "GOFLAGS": "-buildvcs=false -mod=mod", "GONOSUMDB": "*"}
        subprocess.run(["go", "build", "-o", BINARY, "."], cwd=folder, env=environment, check=True)


def environment_of(corpus, case):
    """env.yaml is a flat map of strings."""
    path = os.path.join(corpus, case, "env.yaml")
    found = {}
    if os.path.exists(path):
        for line in open(path, encoding="utf-8"):
            key, separator, value = line.split("#")[0].partition(":")
            if separator:
                found[key.strip()] = value.strip().strip("\"'")
    return found


def ask(corpus, cases, out):
    """Puts whole sets of resources into OUT/CASE. A process reads its environment once, and keeps loggers of its first MeshConfig: one for each."""
    groups = {}
    for case in cases:
        own_mesh = case if os.path.exists(os.path.join(corpus, case, "mesh.yaml")) else ""
        groups.setdefault((json.dumps(environment_of(corpus, case), sort_keys=True), own_mesh), []).append(case)
    failed = []
    for (environment, _), members in groups.items():
        jobs = []
        for case in members:
            file = lambda name: os.path.join(corpus, case, name)  # noqa: E731
            jobs.append({
                "name": case,
                "mesh": file("mesh.yaml") if os.path.exists(file("mesh.yaml")) else os.path.join(CORPUS, "mesh.yaml"),
                "config": [os.path.join(CORPUS, "base.yaml")] + ([file("config.yaml")] if os.path.exists(file("config.yaml")) else []),
                "networks": file("meshNetworks.yaml") if os.path.exists(file("meshNetworks.yaml")) else "",
                "proxy": file("proxy.json"),
                "out": os.path.join(out, case),
            })
        done = subprocess.run(
            [BINARY], input="".join(json.dumps(job) + "\n" for job in jobs), text=True, capture_output=True,
            env={**os.environ, **ENVIRONMENT, **json.loads(environment)},
        )
        failed += [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
        for line in done.stderr.splitlines():
            if "not parsed" in line or ": invalid:" in line:
                print(line)
        if done.returncode not in (0, 1):
            failed.append(done.stderr[-2000:])
    return failed


def write(case, found):
    """Stores what differs from the base."""
    folder = os.path.join(CASES, case)
    base = os.path.join(CORPUS, "base", read(os.path.join(folder, "proxy.json"), {})["base"])
    for kind in TYPES:
        had = {name_of(r): r for r in read(os.path.join(base, kind + ".json"), [])}
        has = {name_of(r): r for r in read(os.path.join(found, kind + ".json"), [])}
        changes = {
            "changed": [r for name, r in sorted(has.items()) if any(differences(had.get(name, MISSING), r))],
            "removed": sorted(name for name in had if name not in has),
        }
        path = os.path.join(folder, kind + ".json")
        if os.path.exists(path):
            os.remove(path)
        if changes["changed"] or changes["removed"]:
            with open(path, "w", encoding="utf-8") as out:
                json.dump(changes, out, indent=1, ensure_ascii=False)
                out.write("\n")


def list_cases(corpus):
    families = sorted(f for f in os.listdir(corpus) if os.path.isdir(os.path.join(corpus, f)))
    return [f"{f}/{c}" for f in families for c in sorted(os.listdir(os.path.join(corpus, f))) if os.path.isdir(os.path.join(corpus, f, c))]


def main():
    is_check = sys.argv[1:2] == ["--check"]
    corpus = (sys.argv[2] if len(sys.argv) > 2 else CORPUS) if is_check else CASES
    cases = [] if is_check else sys.argv[1:]
    build()
    with tempfile.TemporaryDirectory() as out:
        cases = cases or list_cases(corpus)
        failed = ask(corpus, cases, out)
        for case in cases:
            if not is_check:
                write(case, os.path.join(out, case))
                continue
            found = list(compare(os.path.join(corpus, case), os.path.join(out, case)))
            if found:
                failed.append(f"{case}: {len(found)} differences, the first: {str(found[0])[:300]}")
    print("\n".join(failed + [f"{len(cases)} cases, {len(failed)} failures"]))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
