package gnmi

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"gvpn/commit"
	"gvpn/commit/step"
	"gvpn/config"
	"gvpn/internal/auth"
)

// node is the Backend of tests: a database in memory.
type node struct {
	mu      sync.Mutex
	db      *commit.DB
	applied int // commits that were applied
}

func (n *node) Manage(f func(db *commit.DB) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return f(n.db)
}

func (n *node) Prepare(p *step.Plan) error {
	if p.HostName == "unwilling" {
		return fmt.Errorf("engine: host-name unwilling: not today")
	}
	return nil
}

func (n *node) Apply(*step.Plan) { n.applied++ }

// running returns the running configuration as set lines, without what the tests need to log in.
func (n *node) running() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var kept []string
	for line := range strings.Lines(string(config.AppendSet(nil, n.db.Running().Root()))) {
		if !strings.Contains(line, "certificates local") && !strings.Contains(line, "grpc ssl") && !strings.Contains(line, " authentication ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// credential is a user's key with a certificate that the key signs itself.
type credential struct {
	cert tls.Certificate
	line string // the key as `system login` has it
}

func newCredential(t *testing.T, commonName string, notAfter time.Time) credential {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return credential{certificate(t, commonName, private, notAfter), authorized(t, public)}
}

func certificate(t *testing.T, commonName string, key crypto.Signer, notAfter time.Time) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: commonName}, DNSNames: []string{"localhost"},
		NotBefore: notAfter.Add(-48 * time.Hour), NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func authorized(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	public, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

// pemOf is a certificate with its key, as `security certificates local` takes it.
func pemOf(t *testing.T, c tls.Certificate) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// world is a gNMI server on a loopback listener, and the users mary (super-user) and tom (read-only).
type world struct {
	t         *testing.T
	node      *node
	address   string
	roots     *x509.CertPool
	mary, tom credential
}

func newWorld(t *testing.T) *world {
	t.Helper()
	soon := time.Now().Add(24 * time.Hour)
	w := &world{t: t, node: &node{}, mary: newCredential(t, "mary", soon), tom: newCredential(t, "tom", soon), roots: x509.NewCertPool()}
	var err error
	if w.node.db, err = commit.Open(&commit.MemoryLog{}, w.node, time.Now); err != nil {
		t.Fatal(err)
	}
	own := newCredential(t, "device", soon)
	w.roots.AddCert(own.cert.Leaf)
	w.set("set system host-name before",
		"set system login user mary class super-user",
		`set system login user mary authentication ssh-ed25519 "`+w.mary.line+`"`,
		"set system login user tom class read-only",
		`set system login user tom authentication ssh-ed25519 "`+w.tom.line+`"`,
		"set security certificates local device certificate "+config.Quote(pemOf(t, own.cert)),
		"set system services extension-service request-response grpc ssl local-certificate device")

	s := New(Options{
		Backend: w.node,
		Keys: func() *auth.Keys {
			w.node.mu.Lock()
			defer w.node.mu.Unlock()
			return auth.NewKeys(w.node.db.Effective())
		},
		Certificate: func() (*tls.Certificate, error) {
			w.node.mu.Lock()
			defer w.node.mu.Unlock()
			return Certificate(w.node.db.Running())
		},
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return w
}

// set commits set lines behind the server's back.
func (w *world) set(lines ...string) {
	w.t.Helper()
	w.node.mu.Lock()
	defer w.node.mu.Unlock()
	tree, errs := w.node.db.Running().LoadSet(nil, "test", []byte(strings.Join(lines, "\n")))
	if err := errs.Err(); err != nil {
		w.t.Fatal(err)
	}
	w.node.db.Candidate().Update(tree)
	if _, err := w.node.db.Commit(commit.Options{User: "test", Client: "test"}); err != nil {
		w.t.Fatal(err)
	}
}

// dial returns a client that shows the given certificates.
func (w *world) dial(certs ...tls.Certificate) pb.GNMIClient {
	w.t.Helper()
	conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: w.roots, ServerName: "localhost", Certificates: certs,
	})))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return pb.NewGNMIClient(conn)
}

func (w *world) context() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

// path reads /a/b[key=value]/c; values hold no ']' here.
func path(s string) *pb.Path {
	p := &pb.Path{}
	for s != "" {
		s = strings.TrimPrefix(s, "/")
		i := strings.IndexAny(s, "/[")
		if i < 0 {
			i = len(s)
		}
		e := &pb.PathElem{Name: s[:i]}
		s = s[i:]
		for strings.HasPrefix(s, "[") {
			inner, rest, _ := strings.Cut(s[1:], "]")
			k, v, _ := strings.Cut(inner, "=")
			if e.Key == nil {
				e.Key = map[string]string{}
			}
			e.Key[k], s = v, rest
		}
		if e.Name != "" {
			p.Elem = append(p.Elem, e)
		}
	}
	return p
}

func jsonVal(s string) *pb.TypedValue {
	return &pb.TypedValue{Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(s)}}
}

// want fails unless err has the code and its text holds part.
func want(t *testing.T, err error, code codes.Code, part string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), part) {
		t.Errorf("error %v, want %v with %q", err, code, part)
	}
}

func TestCapabilities(t *testing.T) {
	w := newWorld(t)
	got, err := w.dial(w.tom.cert).Capabilities(w.context(), &pb.CapabilityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.GNMIVersion != "0.10.0" || len(got.SupportedEncodings) != 1 || got.SupportedEncodings[0] != pb.Encoding_JSON_IETF {
		t.Errorf("version %q, encodings %v", got.GNMIVersion, got.SupportedEncodings)
	}
	models := map[string]*pb.ModelData{}
	for _, m := range got.SupportedModels {
		models[m.Name] = m
	}
	for _, name := range []string{"gvpn-conf-root", "gvpn-conf-security", "gvpn-conf-system"} {
		if m := models[name]; m == nil || m.Version == "" || m.Organization == "" {
			t.Errorf("model %s: %v", name, m)
		}
	}
}

func TestGet(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.tom.cert)
	for _, test := range []struct {
		request, want string // JSON of each update, a line each
	}{
		{`path: {elem: {name: "configuration"} elem: {name: "system"} elem: {name: "host-name"}} encoding: JSON_IETF`, `"before"`},
		{`path: {elem: {name: "gvpn-conf-root:configuration"} elem: {name: "gvpn-conf-system:system"} elem: {name: "host-name"}} encoding: JSON_IETF type: CONFIG`, `"before"`},
		{`prefix: {elem: {name: "configuration"} elem: {name: "system"}} path: {elem: {name: "login"} elem: {name: "user" key: {key: "name" value: "tom"}} elem: {name: "class"}} path: {elem: {name: "host-name"}} encoding: JSON_IETF`, "\"read-only\"\n\"before\""},
	} {
		r := &pb.GetRequest{}
		if err := prototext.Unmarshal([]byte(test.request), r); err != nil {
			t.Fatal(err)
		}
		got, err := c.Get(w.context(), r)
		if err != nil {
			t.Errorf("%s: %v", test.request, err)
			continue
		}
		var lines []string
		for i, n := range got.Notification {
			if n.Timestamp == 0 {
				t.Errorf("%s: no timestamp", test.request)
			}
			for _, u := range n.Update {
				lines = append(lines, string(u.GetVal().GetJsonIetfVal()))
				joined := &pb.Path{Elem: append(append([]*pb.PathElem(nil), r.GetPrefix().GetElem()...), r.Path[i].Elem...)}
				if !proto.Equal(u.Path, joined) {
					t.Errorf("%s: update of %v, want %v", test.request, u.Path, joined)
				}
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(lines, "\n")); diff != "" {
			t.Errorf("%s:\n%s", test.request, diff)
		}
	}

	// Containers come as RFC 7951 objects; the whole configuration as what a Set of "/" would take.
	whole, err := c.Get(w.context(), &pb.GetRequest{Encoding: pb.Encoding_JSON_IETF, Path: []*pb.Path{{}}})
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]map[string]any
	text := whole.Notification[0].Update[0].GetVal().GetJsonIetfVal()
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	system, _ := doc["gvpn-conf-root:configuration"]["gvpn-conf-system:system"].(map[string]any)
	if system["host-name"] != "before" {
		t.Errorf("whole configuration: %s", text)
	}

	// A list without keys stands for its entries.
	users, err := c.Get(w.context(), &pb.GetRequest{Encoding: pb.Encoding_JSON_IETF, Path: []*pb.Path{path("/configuration/system/login/user")}})
	if err != nil {
		t.Fatal(err)
	}
	updates := users.Notification[0].Update
	if len(updates) != 2 || !proto.Equal(updates[1].Path, path("/configuration/system/login/user[name=tom]")) {
		t.Errorf("list without keys: %v", updates)
	}
}

func TestGetRefuses(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.tom.cert)
	get := func(change func(*pb.GetRequest)) error {
		r := &pb.GetRequest{Encoding: pb.Encoding_JSON_IETF, Path: []*pb.Path{path("/configuration/system/host-name")}}
		change(r)
		_, err := c.Get(w.context(), r)
		return err
	}
	at := func(s string) func(*pb.GetRequest) { return func(r *pb.GetRequest) { r.Path[0] = path(s) } }
	want(t, get(func(r *pb.GetRequest) { r.Encoding = pb.Encoding_JSON }), codes.Unimplemented, "encoding JSON")
	want(t, get(func(r *pb.GetRequest) { r.Encoding = pb.Encoding_PROTO }), codes.Unimplemented, "encoding PROTO")
	want(t, get(func(r *pb.GetRequest) { r.Type = pb.GetRequest_STATE }), codes.Unimplemented, "STATE")
	want(t, get(func(r *pb.GetRequest) { r.UseModels = []*pb.ModelData{{Name: "x"}} }), codes.Unimplemented, "use_models")
	want(t, get(func(r *pb.GetRequest) { r.Extension = []*gnmi_ext.Extension{{}} }), codes.Unimplemented, "extensions")
	want(t, get(func(r *pb.GetRequest) { r.Path[0].Origin = "openconfig" }), codes.InvalidArgument, `origin "openconfig"`)
	want(t, get(func(r *pb.GetRequest) { r.Path[0].Origin = "cli" }), codes.Unimplemented, `origin "cli"`)
	want(t, get(func(r *pb.GetRequest) { r.Path[0].Target = "x" }), codes.InvalidArgument, "target")
	want(t, get(at("/configuration/system/no-such")), codes.InvalidArgument, `no "no-such" below /configuration/system`)
	want(t, get(at("/system")), codes.InvalidArgument, `no "system" below /`)
	want(t, get(at("/configuration/wrong-module:system")), codes.InvalidArgument, `no "wrong-module:system"`)
	want(t, get(at("/configuration/system/login/user[nom=tom]")), codes.InvalidArgument, "wants key name")
	want(t, get(at("/configuration/system/login/user[name=tom][x=y]")), codes.InvalidArgument, "has other keys")
	want(t, get(at("/configuration/system[name=x]")), codes.InvalidArgument, "is not a list")
	want(t, get(at("/configuration/system/login/user/class")), codes.Unimplemented, "without keys")
	want(t, get(at("/configuration/*")), codes.Unimplemented, "wildcards")
	want(t, get(at("/configuration/system/login/user[name=*]")), codes.Unimplemented, "wildcards")
	want(t, get(at("/configuration/system/login/user[name=nobody]")), codes.NotFound, "[name=nobody]")
	want(t, get(at("/configuration/security/zones")), codes.NotFound, "/configuration/security/zones")
	want(t, get(at(strings.Repeat("/configuration", maxElems+1))), codes.InvalidArgument, "elements")
}

// Deletes go before replaces, replaces before updates, whatever they name; all of it is one commit (section 3.4.3).
func TestSetIsOneCommitInOrder(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.mary.cert)
	number := w.node.db.Number()
	before := w.node.applied
	r := &pb.SetRequest{
		Prefix: path("/configuration"),
		Update: []*pb.Update{
			{Path: path("/system/host-name"), Val: &pb.TypedValue{Value: &pb.TypedValue_StringVal{StringVal: "updated"}}},
			{Path: path("/system"), Val: jsonVal(`{"login":{"user":[{"name":"ann","class":"operator"}]}}`)},
		},
		Replace: []*pb.Update{
			{Path: path("/system/login/user[name=tom]"), Val: jsonVal(`{"name":"tom","class":"operator","full-name":"T"}`)},
			{Path: path("/system/host-name"), Val: jsonVal(`"replaced"`)},
			{Path: path("/security/zones"), Val: jsonVal(`{"security-zone":[{"name":"LAN"}]}`)},
		},
		Delete: []*pb.Path{path("/system/host-name"), path("/security/zones/security-zone[name=none]")},
	}
	got, err := c.Set(w.context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.node.db.Number() - number; got != 1 || w.node.applied != before+1 {
		t.Errorf("%d commits, %d applied, want 1", got, w.node.applied-before)
	}
	const after = `set system host-name updated
set system login user mary class super-user
set system login user tom full-name T
set system login user tom class operator
set system login user ann class operator
set security zones security-zone LAN
`
	if diff := cmp.Diff(after, w.node.running()); diff != "" {
		t.Error(diff)
	}
	wantResponse := &pb.SetResponse{Prefix: path("/configuration"), Response: []*pb.UpdateResult{
		{Path: r.Delete[0], Op: pb.UpdateResult_DELETE},
		{Path: r.Delete[1], Op: pb.UpdateResult_DELETE},
		{Path: r.Replace[0].Path, Op: pb.UpdateResult_REPLACE},
		{Path: r.Replace[1].Path, Op: pb.UpdateResult_REPLACE},
		{Path: r.Replace[2].Path, Op: pb.UpdateResult_REPLACE},
		{Path: r.Update[0].Path, Op: pb.UpdateResult_UPDATE},
		{Path: r.Update[1].Path, Op: pb.UpdateResult_UPDATE},
	}}
	if got.Timestamp == 0 {
		t.Error("no timestamp")
	}
	got.Timestamp = 0
	if diff := cmp.Diff(wantResponse, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if last := w.node.db.History()[0]; last.User != "mary" || last.Client != "gnmi" {
		t.Errorf("commit by %q through %q", last.User, last.Client)
	}
}

// A list as a whole is a JSON array: update adds to it, replace takes its place, delete takes all. An entry that is
// replaced stays where it is among its siblings.
func TestSetLists(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.mary.cert)
	zones := path("/configuration/security/zones/security-zone")
	set := func(r *pb.SetRequest, want ...string) {
		t.Helper()
		if _, err := c.Set(w.context(), r); err != nil {
			t.Fatal(err)
		}
		var got []string
		for z := range w.node.db.Running().Root().Child("security").Child("zones").Entries("security-zone") {
			got = append(got, z.Key()[0])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	set(&pb.SetRequest{Update: []*pb.Update{{Path: zones, Val: jsonVal(`[{"name":"A"},{"name":"B"}]`)}}}, "A", "B")
	set(&pb.SetRequest{Update: []*pb.Update{{Path: zones, Val: jsonVal(`[{"name":"C"}]`)}}}, "A", "B", "C")
	set(&pb.SetRequest{Replace: []*pb.Update{{Path: path("/configuration/security/zones/security-zone[name=A]"), Val: jsonVal(`{"name":"A"}`)}}}, "A", "B", "C")
	set(&pb.SetRequest{Replace: []*pb.Update{{Path: zones, Val: jsonVal(`[{"name":"D"},{"name":"A"}]`)}}}, "D", "A")
	set(&pb.SetRequest{Delete: []*pb.Path{zones}})
	set(&pb.SetRequest{Delete: []*pb.Path{zones}}) // nothing there is no error

	// The whole configuration: what a Get of "/" gives puts everything back.
	got, err := c.Get(w.context(), &pb.GetRequest{Encoding: pb.Encoding_JSON_IETF, Path: []*pb.Path{{}}})
	if err != nil {
		t.Fatal(err)
	}
	before := w.node.db.Running()
	set(&pb.SetRequest{Replace: []*pb.Update{{Path: &pb.Path{}, Val: got.Notification[0].Update[0].Val}}})
	if !config.Equal(before.Root(), w.node.db.Running().Root()) {
		t.Errorf("replaced by itself:\n%s", config.AppendSet(nil, w.node.db.Running().Root()))
	}
}

// Who may not configure sees no secrets.
func TestSecretsAreForWhoConfigures(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		user  credential
		shown bool
	}{{w.mary, true}, {w.tom, false}} {
		for _, p := range []*pb.Path{{}, path("/configuration/security"), path("/configuration/security/certificates/local")} {
			got, err := w.dial(test.user.cert).Get(w.context(), &pb.GetRequest{Encoding: pb.Encoding_JSON_IETF, Path: []*pb.Path{p}})
			if err != nil {
				t.Fatal(err)
			}
			if shown := strings.Contains(got.String(), "$9$"); shown != test.shown {
				t.Errorf("%s sees secrets in %v: %v, want %v", test.user.cert.Leaf.Subject.CommonName, p, shown, test.shown)
			}
		}
	}
}

// A Set that fails anywhere leaves nothing behind, in the candidate neither.
func TestSetAllOrNothing(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.mary.cert)
	before := w.node.running()
	set := func(updates ...*pb.Update) error {
		t.Helper()
		_, err := c.Set(w.context(), &pb.SetRequest{
			Delete: []*pb.Path{path("/configuration/system/host-name")}, Update: updates,
		})
		if got := w.node.running(); got != before {
			t.Errorf("running has changed:\n%s", got)
		}
		if w.node.db.Candidate().Changed() {
			t.Error("the candidate has changed")
		}
		return err
	}
	up := func(p, v string) *pb.Update { return &pb.Update{Path: path(p), Val: jsonVal(v)} }
	want(t, set(up("/configuration/system", `{"no-such": 1}`)), codes.InvalidArgument, "no-such")
	want(t, set(up("/configuration/system", `{`)), codes.InvalidArgument, "")
	want(t, set(up("/configuration/system/host-name", `"not a host name"`)), codes.InvalidArgument, "")
	want(t, set(up("/configuration/system/host-name", `"unwilling"`)), codes.InvalidArgument, "not today")
	want(t, set(up("/configuration/system/login/user[name=eve]", `{"name":"eve","full-name":"E"}`)), codes.InvalidArgument, "class") // mandatory
	want(t, set(up("/configuration/system/login/user[name=tom]", `{"name":"eve"}`)), codes.InvalidArgument, "")
	want(t, set(up("/configuration/nowhere", `1`)), codes.InvalidArgument, "nowhere")
	want(t, set(up("/configuration/system/login/user", `{}`)), codes.InvalidArgument, "")
	want(t, set(&pb.Update{Path: path("/configuration/system/host-name")}), codes.InvalidArgument, "no val")
	want(t, set(&pb.Update{Path: path("/configuration/system"), Val: &pb.TypedValue{Value: &pb.TypedValue_StringVal{StringVal: "x"}}}), codes.InvalidArgument, "no leaf")
	want(t, set(&pb.Update{Path: path("/configuration/system"), Val: &pb.TypedValue{Value: &pb.TypedValue_AsciiVal{AsciiVal: "x"}}}), codes.Unimplemented, "AsciiVal")

	_, err := c.Set(w.context(), &pb.SetRequest{UnionReplace: []*pb.Update{up("/", "{}")}})
	want(t, err, codes.Unimplemented, "union_replace")
	_, err = c.Set(w.context(), &pb.SetRequest{Extension: []*gnmi_ext.Extension{{}}})
	want(t, err, codes.Unimplemented, "extensions")
}

// What is protected fails a Set, whatever would change it.
func TestSetOfWhatIsProtected(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.mary.cert)
	w.set("set system host-name held", "protect system host-name", "protect system login")
	before := w.node.running()
	for _, r := range []*pb.SetRequest{
		{Delete: []*pb.Path{path("/configuration/system/host-name")}},
		{Update: []*pb.Update{{Path: path("/configuration/system"), Val: jsonVal(`{"host-name":"other"}`)}}},
		{Update: []*pb.Update{{Path: path("/configuration/system/host-name"), Val: &pb.TypedValue{Value: &pb.TypedValue_StringVal{StringVal: "other"}}}}},
		{Replace: []*pb.Update{{Path: path("/configuration/system/login/user[name=eve]"), Val: jsonVal(`{"name":"eve","class":"operator"}`)}}},
	} {
		_, err := c.Set(w.context(), r)
		want(t, err, codes.InvalidArgument, "is protected")
		if got := w.node.running(); got != before {
			t.Errorf("%v has changed running:\n%s", r, got)
		}
	}
}

// What others have begun is neither committed nor lost.
func TestSetWaitsForOthers(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.mary.cert)
	r := &pb.SetRequest{Update: []*pb.Update{{Path: path("/configuration/system/host-name"), Val: jsonVal(`"set"`)}}}
	tree, err := w.node.db.Running().Set(nil, []string{"system", "host-name", "edited"})
	if err != nil {
		t.Fatal(err)
	}
	w.node.db.Candidate().Update(tree)
	_, err = c.Set(w.context(), r)
	want(t, err, codes.Aborted, "configuration database modified")
	if got := w.node.db.Candidate().Tree().Root().Child("system").Get("host-name"); got != "edited" {
		t.Errorf("the candidate's host-name is %q", got)
	}
	w.node.db.Candidate().Discard()
	if err := w.node.db.Lock("mary on the shell"); err != nil {
		t.Fatal(err)
	}
	_, err = c.Set(w.context(), r)
	want(t, err, codes.Aborted, "mary on the shell")
	w.node.db.Unlock("mary on the shell")
	if _, err = c.Set(w.context(), r); err != nil {
		t.Error(err)
	}
}

func TestSubscribeIsNotThere(t *testing.T) {
	w := newWorld(t)
	stream, err := w.dial(w.tom.cert).Subscribe(w.context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	want(t, err, codes.Unimplemented, "Subscribe")
}

func TestWhoMayComeIn(t *testing.T) {
	w := newWorld(t)
	call := func(c pb.GNMIClient) error {
		_, err := c.Capabilities(w.context(), &pb.CapabilityRequest{})
		return err
	}
	soon := time.Now().Add(time.Hour)
	want(t, call(w.dial()), codes.Unavailable, "")                                                                    // no certificate
	want(t, call(w.dial(newCredential(t, "mary", soon).cert)), codes.Unavailable, "")                                 // another key
	want(t, call(w.dial(certificate(t, "tom", w.mary.cert.PrivateKey.(crypto.Signer), soon))), codes.Unavailable, "") // another user's
	want(t, call(w.dial(certificate(t, "mary", w.mary.cert.PrivateKey.(crypto.Signer), time.Now().Add(-time.Hour)))), codes.Unavailable, "")
	if err := call(w.dial(w.mary.cert)); err != nil {
		t.Error(err)
	}

	// Without TLS there is nobody to talk to.
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 100)); err == nil && n > 20 {
		t.Errorf("an answer of %d octets in the clear", n)
	}

	// tom may look, not touch; and no more once a commit has taken his key, on his open connection too.
	tom := w.dial(w.tom.cert)
	if err := call(tom); err != nil {
		t.Error(err)
	}
	_, err = tom.Set(w.context(), &pb.SetRequest{Delete: []*pb.Path{path("/configuration")}})
	want(t, err, codes.PermissionDenied, "read-only")
	w.set("delete system login user tom")
	want(t, call(tom), codes.Unauthenticated, "login refused")
}

func TestCertificate(t *testing.T) {
	c := newCredential(t, "device", time.Now().Add(time.Hour))
	other := newCredential(t, "other", time.Now().Add(time.Hour))
	for _, test := range []struct{ pem, want string }{
		{pemOf(t, c.cert), ""},
		{strings.Replace(pemOf(t, c.cert), "BEGIN CERTIFICATE", "BEGIN NOTHING", 1), "gnmi: certificate \"own\""},
		{pemOf(t, tls.Certificate{Certificate: c.cert.Certificate, PrivateKey: other.cert.PrivateKey}), "does not match"},
	} {
		tree, errs := config.Tree{}.LoadSet(nil, "test", []byte("set security certificates local own certificate "+config.Quote(test.pem)+
			"\nset system services extension-service request-response grpc ssl local-certificate own\n"))
		if err := errs.Err(); err != nil {
			t.Fatal(err)
		}
		got, err := Certificate(tree)
		if test.want == "" {
			if err != nil || got.Leaf.Subject.CommonName != "device" {
				t.Errorf("certificate: %v, %v", got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("certificate: %v, want an error with %q", err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE KEY") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	if _, err := Certificate(config.Tree{}); err == nil || !strings.Contains(err.Error(), "no local-certificate") {
		t.Errorf("without configuration: %v", err)
	}
}
