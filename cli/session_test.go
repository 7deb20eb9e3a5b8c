package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gvpn/commit"
	"gvpn/commit/step"
	"gvpn/config"
	"gvpn/ike"
	"gvpn/internal/auth"
	"gvpn/member"
	"gvpn/oper"
	"gvpn/server"
)

// node is a Backend with a real database and made-up operational state.
type node struct {
	db      *commit.DB
	state   oper.State
	done    []any // what Do was given
	editors Editors
	lab     *lab
	closing bool
	refuse  error // what Prepare says
}

// newNode returns a node whose clock goes on by a minute at each commit.
func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{}
	clock := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	db, err := commit.Open(&commit.MemoryLog{}, n, func() time.Time {
		clock = clock.Add(time.Minute)
		return clock
	})
	if err != nil {
		t.Fatal(err)
	}
	n.db = db
	n.state = oper.State{
		Now:    clock,
		Server: server.State{Groups: []server.GroupState{{Name: "G", ID: 7, Ready: true}}},
		Member: member.State{VPNs: []member.VPN{{Name: "V", Group: 7, DownReason: "no server answers", Phase: member.Idle}}},
	}
	return n
}

func (n *node) Prepare(*step.Plan) error { return n.refuse }
func (n *node) Apply(*step.Plan)         {}

var errClosing = errors.New("node: closing")

func (n *node) Manage(f func(*commit.DB) error) error {
	if n.closing {
		return errClosing
	}
	return f(n.db)
}
func (n *node) State() (oper.State, error) { return n.state, nil }
func (n *node) Do(c any) error             { n.done = append(n.done, c); return nil }
func (n *node) Editors() *Editors          { return &n.editors }
func (n *node) Lab() Lab {
	if n.lab == nil {
		return nil
	}
	return n.lab
}

// lab is two nodes.
type lab struct{ nodes map[string]*node }

func (l *lab) Nodes() []string { return []string{"ROOT", "SUB1"} }
func (l *lab) Node(name string) (Backend, bool) {
	n, ok := l.nodes[name]
	return n, ok
}

// files are a client's files.
type files map[string]string

func (f files) Open(name string) (io.ReadCloser, error) {
	text, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (f files) Create(name string) (io.WriteCloser, error) {
	if name == "locked" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return &saved{name: name, to: f}, nil
}

// saved is a file that is being made.
type saved struct {
	bytes.Buffer
	name string
	to   files
}

func (s *saved) Close() error {
	s.to[s.name] = s.String()
	return nil
}

// The files in testdata are conversations with one node each. "exec" is `gvpn -c`, "script" is lines from a pipe, "type" is keys on
// a terminal, shown as the screen at the end; "on" is lines of a session that stays until it is "gone"; what follows a line of -- is what comes from standard input. "file" gives the
// client a file, "cat" shows one, "user" another class, "from" another address, "did" shows what the engines were given, "node" sets up the node.
func TestSessions(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		n := newNode(t)
		client := files{}
		held := map[string]*Shell{}
		user := auth.Identity{User: "admin", Class: auth.SuperUser}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			text, in, _ := strings.Cut(d.Input+"\n", "\n--\n")
			text = strings.TrimSuffix(text, "\n")
			var out bytes.Buffer
			c := Config{
				Backend: n, Identity: user, In: strings.NewReader(in), Out: &out,
				Now: func() time.Time { return time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC) },
			}
			if client != nil {
				c.Files = client
			}
			status := func(s int) string {
				if s != 0 {
					fmt.Fprintf(&out, "[exit %d]\n", s)
				}
				return out.String()
			}
			switch d.Cmd {
			case "exec":
				return status(New(c).Exec(t.Context(), text))
			case "script":
				c.In = strings.NewReader(d.Input + "\n")
				return status(New(c).Script(t.Context()))
			case "type":
				c.In = strings.NewReader(keys.Replace(text + "\n"))
				c.Terminal = auth.NewTerminal(120, 40)
				s := New(c).Interactive(t.Context())
				shown := screen(out.Bytes())
				out.Reset()
				out.WriteString(shown)
				return status(s)
			case "on":
				name := d.CmdArgs[0].Key
				if held[name] == nil {
					c.Identity.User = name
					held[name] = New(c)
				}
				s := held[name]
				s.out, s.cfg.Err = &out, &out
				for line := range strings.Lines(text) {
					for _, command := range splitCommands(strings.TrimSuffix(line, "\n")) {
						if s.one(t.Context(), command) != nil {
							return status(1)
						}
					}
				}
				return status(0)
			case "prompt":
				banner, prompt := held[d.CmdArgs[0].Key].prompt()
				return banner + prompt + "\n"
			case "gone":
				held[d.CmdArgs[0].Key].leave()
				delete(held, d.CmdArgs[0].Key)
			case "file":
				client[d.CmdArgs[0].Key] = d.Input + "\n"
			case "cat":
				return client[d.CmdArgs[0].Key]
			case "nofiles":
				client = nil
			case "user":
				user.Class = auth.Class(d.CmdArgs[0].Key)
			case "from":
				user.Remote = d.CmdArgs[0].Key
			case "node":
				switch d.CmdArgs[0].Key {
				case "lab":
					other := newNode(t)
					if tree, err := other.db.Candidate().Tree().Set(nil, []string{"system", "host-name", "sub1"}); err == nil {
						other.db.Candidate().Update(tree)
					}
					if _, err := other.db.Commit(commit.Options{User: "file"}); err != nil {
						t.Fatal(err)
					}
					l := &lab{nodes: map[string]*node{"ROOT": n, "SUB1": other}}
					n.lab, other.lab = l, l
				case "lock":
					if err := n.db.Lock("bob session 4 via netconf"); err != nil {
						t.Fatal(err)
					}
				case "unlock":
					n.db.Unlock("bob session 4 via netconf")
				case "refuse":
					n.refuse = errors.New("server: group G: dynamic gateways are not supported")
				case "accept":
					n.refuse = nil
				case "editors": // as many as there may be
					for range maxEditors {
						n.editors.enter("bob", time.Date(2026, 11, 22, 11, 59, 16, 0, time.UTC))
					}
				case "editor":
					n.editors.enter("bob", time.Date(2026, 11, 22, 11, 59, 16, 0, time.UTC))
				case "registered": // two members of G
					n.state.Groups = []step.Group{{Name: "G", Members: []string{"M1", "M2"}}}
					n.state.Server.Groups[0].Members = []server.MemberState{{Gateway: "M1"}, {Gateway: "M2"}}
					n.state.IKE.SAs = []ike.SAState{{Gateway: "M1", Status: ike.Established, Remote: netip.MustParseAddrPort("127.0.18.1:848")}}
				case "close":
					n.closing = true
				}
			case "did":
				for _, c := range n.done {
					fmt.Fprintf(&out, "%T%+v\n", c, c)
				}
				n.done = nil
				return out.String()
			default:
				t.Fatalf("unknown command %q", d.Cmd)
			}
			return ""
		})
	})
}

// keys are the names of keys in a conversation. A line's end is Enter.
var keys = strings.NewReplacer("\n", "\r", "<tab>", "\t", "<ctrl-c>", "\x03", "<ctrl-d>", "\x04", "<up>", "\x1b[A", "<enter>", "\r", "<left>", "\x1b[D")

// screen is what a terminal shows at the end of an output, without empty lines at its foot: enough of a VT100 for what x/term
// sends.
func screen(out []byte) string {
	rows := [][]rune{nil}
	x, y := 0, 0
	put := func(r rune) {
		for len(rows[y]) <= x {
			rows[y] = append(rows[y], ' ')
		}
		rows[y][x] = r
		x++
	}
	text := []rune(string(out))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; r {
		case '\r':
			x = 0
		case '\n':
			if y++; y == len(rows) {
				rows = append(rows, nil)
			}
		case 0x1b:
			i += 2 // ESC [
			n := 0
			for ; text[i] >= '0' && text[i] <= '9' || text[i] == '?'; i++ {
				if text[i] != '?' {
					n = 10*n + int(text[i]-'0')
				}
			}
			n = max(n, 1)
			switch text[i] {
			case 'A':
				y = max(y-n, 0)
			case 'B':
				y += n
			case 'C':
				x += n
			case 'D':
				x = max(x-n, 0)
			case 'K':
				rows[y] = rows[y][:min(x, len(rows[y]))]
			}
		default:
			put(r)
		}
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// A secret is shown obfuscated and never in the clear, in every form.
func TestSecretsAreNotShown(t *testing.T) {
	const plain = "hunter2-is-long-enough"
	n := newNode(t)
	for _, command := range []string{"show configuration", "show configuration | display set", "show configuration | display xml", "show configuration | display json", "configure; show | compare rollback 1"} {
		var out bytes.Buffer
		c := Config{Backend: n, Identity: auth.Identity{User: "a", Class: auth.SuperUser}, In: strings.NewReader(""), Out: &out}
		if n.db.Number() == 0 {
			if New(c).Exec(t.Context(), "configure; set security group-vpn member ike proposal Q; set security group-vpn member ike policy P proposals Q pre-shared-key ascii-text "+plain+"; commit") != 0 {
				t.Fatal(out.String())
			}
		}
		out.Reset()
		if New(c).Exec(t.Context(), command) != 0 || !strings.Contains(out.String(), "$9$") {
			t.Errorf("%s: no obfuscated secret:\n%s", command, out.String())
		}
		if strings.Contains(out.String(), plain) {
			t.Errorf("%s shows the secret", command)
		}
	}
}

// What `show configuration | display set` prints loads back to the same configuration, and so does the text form.
func TestShownConfigurationLoadsBack(t *testing.T) {
	n := newNode(t)
	run := func(n *node, f files, commands string) string {
		t.Helper()
		var out bytes.Buffer
		c := Config{Backend: n, Identity: auth.Identity{User: "a", Class: auth.SuperUser}, In: strings.NewReader(""), Out: &out, Files: f}
		if status := New(c).Exec(t.Context(), commands); status != 0 {
			t.Fatalf("%s: %s", commands, out.String())
		}
		return out.String()
	}
	run(n, files{"f": serverText}, "configure; load merge f; commit")
	want := n.db.Running()
	for show, load := range map[string]string{"show configuration | display set": "set", "show configuration": "override"} {
		other := newNode(t)
		run(other, files{"f": run(n, nil, show)}, "configure; load "+load+" f; commit")
		if got := other.db.Running(); !config.Equal(got.Root(), want.Root()) {
			t.Errorf("%s does not load back:\n%s", show, config.AppendSet(nil, got.Root()))
		}
	}
}

const serverText = `
system {
    host-name root;
}
security {
    group-vpn {
        server {
            ike {
                proposal P1 {
                    authentication-method pre-shared-keys;
                    authentication-algorithm sha-256;
                    dh-group group14;
                    encryption-algorithm aes-256-cbc;
                }
                policy GMs {
                    mode main;
                    proposals P1;
                    pre-shared-key ascii-text "a; b | c # d \"e\" \\ f";
                }
                gateway GM-0001 {
                    ike-policy GMs;
                    address 127.0.18.1;
                    local-address 127.0.17.1;
                }
                inactive: gateway GM-0002 {
                    ike-policy GMs;
                    address 127.0.18.2;
                }
            }
            ipsec {
                proposal P2 {
                    authentication-algorithm hmac-sha-256-128;
                    encryption-algorithm aes-256-cbc;
                    lifetime-seconds 3600;
                }
            }
            group G {
                group-id 7;
                member-threshold 2000;
                ike-gateway GM-0001;
                server-member-communication {
                    communication-type unicast;
                    encryption-algorithm aes-256-cbc;
                    lifetime-seconds 7200;
                    sig-hash-algorithm sha-256;
                }
                ipsec-sa S {
                    proposal P2;
                    match-policy 1 {
                        source 172.16.0.0/12;
                        destination 172.16.0.0/12;
                        protocol 0;
                    }
                }
            }
        }
    }
}
`
