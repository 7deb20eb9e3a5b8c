package gnmi

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	"gvpn/config"
)

// Whatever a Set asks, its edits give a tree or an error, and its answer can be sent.
func FuzzSet(f *testing.F) {
	base, errs := config.Tree{}.LoadSet(nil, "test", []byte("set system host-name one\nset system login user mary class super-user\nset security zones security-zone LAN\n"))
	if err := errs.Err(); err != nil {
		f.Fatal(err)
	}
	for _, r := range []*pb.SetRequest{
		{Delete: []*pb.Path{path("/configuration/system/login/user[name=mary]"), path("/configuration/security/zones/security-zone"), {}}},
		{Prefix: path("/configuration"), Replace: []*pb.Update{{Path: path("/system"), Val: jsonVal(`{"gvpn-conf-system:host-name":"two"}`)}}},
		{Update: []*pb.Update{{Path: &pb.Path{}, Val: jsonVal(`{"gvpn-conf-root:configuration":{"gvpn-conf-system:system":{"host-name":"three"}}}`)}}},
		{Update: []*pb.Update{{Path: path("/configuration/system/host-name"), Val: &pb.TypedValue{Value: &pb.TypedValue_StringVal{StringVal: "four"}}}}},
		{Replace: []*pb.Update{{Path: path("/configuration/security/zones/security-zone"), Val: jsonVal(`[{"name":"WAN"}]`)}}},
	} {
		wire, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := &pb.SetRequest{}
		if proto.Unmarshal(wire, r) != nil {
			return
		}
		edits, response, err := plan(r)
		if err == nil && len(edits) != len(response.Response) {
			t.Fatalf("%d edits, %d results", len(edits), len(response.Response))
		}
		tree := base
		for i := 0; err == nil && i < len(edits); i++ {
			tree, err = edits[i](tree)
		}
		if err != nil && !utf8.ValidString(err.Error()) {
			t.Errorf("error is no UTF-8: %q", err)
		}
		if _, err := proto.Marshal(response); err != nil {
			t.Errorf("response: %v", err)
		}
		config.AppendJSON(nil, tree.Root())
	})
}

// However long the names and keys in a path are, an error about it is short.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	keys := map[string]string{"name": "G"}
	for i := range 10_000 {
		keys[fmt.Sprint(i)] = long[:100]
	}
	deep := &pb.Path{}
	for range maxElems {
		deep.Elem = append(deep.Elem, &pb.PathElem{Name: long, Key: map[string]string{long: long}})
	}
	for _, p := range []*pb.Path{
		{Origin: long},
		{Elem: []*pb.PathElem{{Name: long}}},
		{Elem: []*pb.PathElem{{Name: "configuration"}, {Name: "system"}, {Name: long}}},
		{Elem: []*pb.PathElem{{Name: "configuration"}, {Name: "system"}, {Name: "login"}, {Name: "user", Key: keys}}},
		{Elem: []*pb.PathElem{{Name: "configuration"}, {Name: "system"}, {Name: "login"}, {Name: "user", Key: map[string]string{"name": long}}}},
		deep,
	} {
		edits, _, err := plan(&pb.SetRequest{Update: []*pb.Update{{Path: p, Val: jsonVal("{}")}}})
		if err == nil {
			_, err = edits[0](config.Tree{})
		}
		if err == nil || len(err.Error()) > 20_000 || !utf8.ValidString(err.Error()) {
			t.Errorf("%.200s", fmt.Sprint(err))
		}
	}
}
