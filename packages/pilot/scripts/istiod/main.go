// Feeds small configurations to a real istiod's discovery server and writes what it sends one proxy.
//
// Jobs come on stdin, one JSON object a line: {"name", "mesh", "config": [files], "proxy": file, "out": dir}.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"sort"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/wasm/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/gateway-api/pkg/consts"
	sigyaml "sigs.k8s.io/yaml"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/gvr"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/util/protomarshal"
)

type job struct {
	Name string `json:"name"`
	Mesh string `json:"mesh"`
	// MeshNetworks, or "".
	Networks string   `json:"networks"`
	Config   []string `json:"config"`
	Proxy    string   `json:"proxy"`
	Out      string   `json:"out"`
}

const (
	cdsType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	edsType  = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ldsType  = "type.googleapis.com/envoy.config.listener.v3.Listener"
	rdsType  = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	ecdsType = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
)

func main() {
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 1<<24)
	failed := false
	for scanner.Scan() {
		if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
			continue
		}
		var j job
		if err := json.Unmarshal(scanner.Bytes(), &j); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		var jobErr error
		err := test.Wrap(func(t test.Failer) {
			defer func() {
				if r := recover(); r != nil {
					jobErr = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
				}
			}()
			jobErr = run(t, j)
		})
		if err == nil {
			err = jobErr
		}
		if err != nil {
			failed = true
			fmt.Printf("FAILED %s: %v\n", j.Name, err)
		} else {
			fmt.Printf("ok %s\n", j.Name)
		}
	}
	if failed {
		os.Exit(1)
	}
}

type object struct {
	key  string
	kind schema.GroupVersionKind
	json map[string]any
}

func readObjects(files []string) ([]object, error) {
	var out []object
	at := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, doc := range splitYAML(string(text)) {
			var m map[string]any
			if err := sigyaml.Unmarshal([]byte(doc), &m); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if len(m) == 0 {
				continue
			}
			meta, _ := m["metadata"].(map[string]any)
			if meta == nil {
				meta = map[string]any{}
				m["metadata"] = meta
			}
			if _, ok := meta["creationTimestamp"]; !ok || meta["creationTimestamp"] == nil {
				meta["creationTimestamp"] = "2026-01-01T00:00:00Z"
			}
			api, _ := m["apiVersion"].(string)
			kind, _ := m["kind"].(string)
			gv, _ := schema.ParseGroupVersion(api)
			k := gv.WithKind(kind)
			key := fmt.Sprintf("%s/%s/%v/%v", k.Group, kind, meta["namespace"], meta["name"])
			o := object{key, k, m}
			if i, ok := at[key]; ok {
				out[i] = o
			} else {
				at[key] = len(out)
				out = append(out, o)
			}
		}
	}
	return out, nil
}

func splitYAML(text string) []string {
	var docs []string
	var current []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "---") {
			docs = append(docs, strings.Join(current, "\n"))
			current = nil
			continue
		}
		current = append(current, line)
	}
	return append(docs, strings.Join(current, "\n"))
}

func isIstio(k schema.GroupVersionKind) bool {
	return strings.HasSuffix(k.Group, "istio.io")
}

func run(t test.Failer, j job) error {
	objects, err := readObjects(j.Config)
	if err != nil {
		return err
	}
	var kubernetes []string
	var configs []config.Config
	for _, o := range objects {
		text, _ := sigyaml.Marshal(o.json)
		if isIstio(o.kind) {
			parsed, _, err := crd.ParseInputs(string(text))
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s: not parsed: %v\n", o.key, err)
				continue
			}
			for _, c := range parsed {
				// What admission (and the API server's validation) would refuse istiod never sees; the client of the real one skips it too.
				if s, ok := collections.Pilot.FindByGroupVersionAliasesKind(c.GroupVersionKind); ok {
					if _, err := s.ValidateConfig(c); err != nil {
						fmt.Fprintf(os.Stderr, "%s: %s: invalid: %v\n", j.Name, o.key, err)
					}
				}
				c.Domain = "cluster.local"
				configs = append(configs, c)
			}
			// What policies of the Gateway API may name is looked up in the API server.
			if o.kind.Kind == "ServiceEntry" {
				kubernetes = append(kubernetes, string(text))
			}
			continue
		}
		kubernetes = append(kubernetes, string(text))
	}
	m := mesh.DefaultMeshConfig()
	if j.Mesh != "" {
		text, err := os.ReadFile(j.Mesh)
		if err != nil {
			return err
		}
		if m, err = mesh.ApplyMeshConfigDefaults(string(text)); err != nil {
			return err
		}
	}
	var networks mesh.NetworksWatcher
	if j.Networks != "" {
		text, err := os.ReadFile(j.Networks)
		if err != nil {
			return err
		}
		parsed, err := mesh.ParseMeshNetworks(string(text))
		if err != nil {
			return err
		}
		networks = meshwatcher.NewFixedNetworksWatcher(parsed)
	}
	s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		NetworksWatcher:            networks,
		KubernetesObjectString:     strings.Join(kubernetes, "\n---\n"),
		Configs:                    configs,
		MeshConfig:                 m,
		DisableSecretAuthorization: true,
		DebounceTime:               20 * time.Millisecond,
	})
	// The fake's definitions of these have no version, and istiod ignores those that are too old.
	bundle := map[string]string{consts.BundleVersionAnnotation: "v1.5.1"}
	for _, resource := range []schema.GroupVersionResource{gvr.GRPCRoute, gvr.TLSRoute, gvr.TCPRoute, gvr.BackendTLSPolicy, gvr.ListenerSet, gvr.XBackendTrafficPolicy} {
		clienttest.MakeCRDWithAnnotations(t, s.KubeClient(), resource, bundle)
	}
	settle(s)
	return dump(s, j)
}

func settle(s *xds.FakeDiscoveryServer) {
	last, since := int64(-1), time.Now()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		now := s.Discovery.InboundUpdates.Load()
		if now != last || s.Discovery.CommittedUpdates.Load() < now {
			last, since = now, time.Now()
			continue
		}
		if time.Since(since) > 250*time.Millisecond {
			return
		}
	}
}

func dump(s *xds.FakeDiscoveryServer, j job) error {
	text, err := os.ReadFile(j.Proxy)
	if err != nil {
		return err
	}
	var file struct {
		Node json.RawMessage `json:"node"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	node := &core.Node{}
	if err := protojson.Unmarshal(file.Node, node); err != nil {
		return err
	}
	conn, err := grpc.Dial("passthrough:///buffer", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<28)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return s.BufListener.Dial() }))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return err
	}
	ask := func(typeURL string, names []string, isWildcard bool) ([]*anypb.Any, error) {
		if len(names) == 0 && !isWildcard {
			return nil, nil
		}
		if err := stream.Send(&discovery.DiscoveryRequest{Node: node, TypeUrl: typeURL, ResourceNames: names}); err != nil {
			return nil, err
		}
		for {
			response, err := stream.Recv()
			if err != nil {
				return nil, err
			}
			if err := stream.Send(&discovery.DiscoveryRequest{TypeUrl: response.TypeUrl, ResponseNonce: response.Nonce, VersionInfo: response.VersionInfo, ResourceNames: namesFor(response.TypeUrl, typeURL, names)}); err != nil {
				return nil, err
			}
			if response.TypeUrl == typeURL {
				return response.Resources, nil
			}
		}
	}
	cds, err := ask(cdsType, nil, true)
	if err != nil {
		return fmt.Errorf("cds: %w", err)
	}
	eds, err := ask(edsType, edsNames(cds), false)
	if err != nil {
		return fmt.Errorf("eds: %w", err)
	}
	lds, err := ask(ldsType, nil, true)
	if err != nil {
		return fmt.Errorf("lds: %w", err)
	}
	routes, extensions := listenerNames(lds)
	rds, err := ask(rdsType, routes, false)
	if err != nil {
		return fmt.Errorf("rds: %w", err)
	}
	ecds, err := ask(ecdsType, extensions, false)
	if err != nil {
		return fmt.Errorf("ecds: %w", err)
	}
	if err := os.MkdirAll(j.Out, 0o755); err != nil {
		return err
	}
	for kind, resources := range map[string][]*anypb.Any{"cds": cds, "eds": eds, "lds": lds, "rds": rds, "ecds": ecds} {
		if err := write(filepath.Join(j.Out, kind+".json"), resources); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

func namesFor(got, asked string, names []string) []string {
	if got == asked {
		return names
	}
	return nil
}

func edsNames(cds []*anypb.Any) []string {
	var names []string
	for _, a := range cds {
		c := &cluster.Cluster{}
		if a.UnmarshalTo(c) == nil && c.GetType() == cluster.Cluster_EDS {
			name := c.GetEdsClusterConfig().GetServiceName()
			if name == "" {
				name = c.Name
			}
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func listenerNames(lds []*anypb.Any) (routes, extensions []string) {
	seen := map[string]bool{}
	add := func(list *[]string, name string) {
		if name != "" && !seen[name] {
			seen[name] = true
			*list = append(*list, name)
		}
	}
	for _, a := range lds {
		l := &listener.Listener{}
		if a.UnmarshalTo(l) != nil {
			continue
		}
		chains := l.FilterChains
		if l.DefaultFilterChain != nil {
			chains = append(chains, l.DefaultFilterChain)
		}
		for _, chain := range chains {
			for _, f := range chain.Filters {
				if f.GetConfigDiscovery() != nil {
					add(&extensions, f.Name)
				}
				h := &hcm.HttpConnectionManager{}
				if f.GetTypedConfig() == nil || f.GetTypedConfig().UnmarshalTo(h) != nil {
					continue
				}
				add(&routes, h.GetRds().GetRouteConfigName())
				for _, hf := range h.HttpFilters {
					if hf.GetConfigDiscovery() != nil {
						add(&extensions, hf.Name)
					}
				}
			}
		}
	}
	sort.Strings(routes)
	sort.Strings(extensions)
	return routes, extensions
}

func write(path string, resources []*anypb.Any) error {
	os.Remove(path)
	if len(resources) == 0 {
		return nil
	}
	type named struct {
		name string
		data any
	}
	var all []named
	for _, a := range resources {
		m, err := a.UnmarshalNew()
		if err != nil {
			return err
		}
		text, err := protomarshal.Marshal(m)
		if err != nil {
			return err
		}
		var v map[string]any
		if err := json.Unmarshal(text, &v); err != nil {
			return err
		}
		name, _ := v["name"].(string)
		if name == "" {
			name, _ = v["clusterName"].(string)
		}
		all = append(all, named{name, v})
	}
	sort.SliceStable(all, func(i, k int) bool { return all[i].name < all[k].name })
	list := make([]any, len(all))
	for i, n := range all {
		list[i] = n.data
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(list); err != nil {
		return err
	}
	return os.WriteFile(path, resourceVersion.ReplaceAll(b.Bytes(), []byte(`$1"0"`)), 0o644)
}

// What differs from run to run, as the corpus has it.
var resourceVersion = regexp.MustCompile(`("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": )"[^"]*"`)
