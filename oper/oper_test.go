package oper

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gvpn/cluster"
	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/member"
	"gvpn/sa"
	"gvpn/server"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func in(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }

func policies(name string) []sa.Policy {
	net := netip.MustParsePrefix("172.16.0.0/12")
	return []sa.Policy{{Name: name, Source: net, Destination: net}}
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// states are the nodes of the golden outputs: a root-server with two sub-servers, and a member with a fresh and a replaced TEK.
func states() map[string]*State {
	up := ike.SAState{
		ID: 7, Gateway: "SubSrv01", InitiatorCookie: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, ResponderCookie: [8]byte{9, 10, 11, 12, 13, 14, 15, 16},
		Status: ike.Established, Local: addrPort("10.10.101.1:848"), Remote: addrPort("10.16.101.1:848"), LocalID: "10.10.101.1", RemoteID: "10.16.101.1",
		Hash: sa.SHA256, KeyBits: 256, DHGroup: 14, Created: in(-60), Expires: in(120), Lifetime: 180 * time.Second,
		InOctets: 4000, InPackets: 12, OutOctets: 5000, OutPackets: 13, DPDSent: 6, DPDAcked: 5, DPDAnswered: 4, ExchangesBegun: 2, ExchangesAnswered: 1, TEKsCreated: 3,
	}
	negotiating := ike.SAState{
		ID: 9, Gateway: "SubSrv02", Initiator: true, InitiatorCookie: [8]byte{0xaa, 1, 1, 1, 1, 1, 1, 0xff},
		Local: addrPort("10.10.102.1:848"), Remote: addrPort("10.16.102.1:848"), Expires: in(5), ExchangesRunning: 1,
	}
	kek := &server.KEKState{
		InitiatorCookie: [8]byte{0xc1, 2, 3, 4, 5, 6, 7, 8}, ResponderCookie: [8]byte{0xd1, 2, 3, 4, 5, 6, 7, 8}, KeyBits: 256, SigHash: sa.SHA256,
		Seq: 3, Created: in(-100), Soft: in(6380), Hard: in(7100), Period: 10 * time.Second, Retries: 2, Bytes: 2400, Packets: 3, InBytes: 160, InPackets: 2,
	}
	root := &State{
		Now:     now,
		Refused: map[string]uint64{"short": 3, "long": 0},
		IKE: ike.State{
			Counters: map[string]uint64{"established": 2, "malformed-length": 1},
			SAs:      []ike.SAState{up, negotiating},
			Gateways: []ike.GatewayState{
				{Name: "SubSrv01", Running: true, Missed: 1, DPDCounters: ike.DPDCounters{Sent: 16, SendFailed: 2, Acked: 13, InvalidAcks: 1}},
				{Name: "SubSrv02", Dead: true, Missed: 5},
			},
		},
		Groups: []step.Group{
			{Name: "GROUP_ID-0001", ID: 1, Members: []string{"GM-0001"}, Peers: []string{"SubSrv01"}},
			{Name: "OTHER", ID: 70000, Members: []string{"GM-0002"}},
		},
		Server: server.State{Groups: []server.GroupState{
			{
				Name: "GROUP_ID-0001", ID: 1, Role: step.RootServer, Version: 12, Ready: true, KEK: kek,
				TEKs: []server.TEKState{
					{Name: "GROUP_ID-0001", SPI: 0x1c548e4e, KeyBits: 256, Policies: policies("1"), Created: in(-3000), Soft: in(100), Hard: in(600)},
					{Name: "GROUP_ID-0001", SPI: 0x2c548e4e, KeyBits: 256, Policies: policies("1"), Created: in(-1), Soft: in(3200), Hard: in(3599), Activate: in(14), Current: true, Window: 100 * time.Millisecond},
				},
				Members: []server.MemberState{
					{Gateway: "GM-0001", Remote: addrPort("10.18.101.1:848"), Registered: in(-500), Updated: in(-1), Pulls: 1, PushSent: 3, PushAcknowledged: 2, PushUnacknowledged: 1, Acknowledges: true},
					{Gateway: "GM-0002", Remote: addrPort("10.18.102.1:848"), Registered: in(-400), Updated: in(-400), Pulls: 2},
					{Gateway: "GM-0003", Remote: addrPort("10.18.103.1:848"), Registered: in(-300), Updated: in(-300), Pulls: 1, PushSent: 2, PushUnacknowledged: 2, Silent: true},
				},
				Statistics:      server.Statistics{PullSucceeded: 4, PullFailed: 1, PullExceedThreshold: 2, PushSent: 8, PushAcknowledged: 7, PushUnacknowledged: 1, PullRefused: 5},
				PushesPending:   1,
				ActivationDelay: 15 * time.Second,
				Window:          100 * time.Millisecond,
			},
			{Name: "OTHER", ID: 70000, Role: step.Standalone},
		}},
		Cluster: cluster.State{Groups: []cluster.GroupState{{
			Name: "GROUP_ID-0001", ID: 1, Role: step.RootServer, Version: 12,
			Peers: []cluster.PeerState{
				{
					Gateway: "SubSrv01", Remote: netip.MustParseAddr("10.16.101.1"), Local: netip.MustParseAddr("10.10.101.1"), Role: step.SubServer, Active: true,
					Counters: cluster.Counters{InitReceived: 1, InitSucceeded: 1, UpdateSent: 2, UpdateSucceeded: 1, UpdatePending: 1},
				},
				{Gateway: "SubSrv02", Remote: netip.MustParseAddr("10.16.102.1"), Role: step.SubServer, Differs: []string{"member-threshold", "ipsec-sa"}},
			},
		}}},
	}
	memberNode := &State{
		Now:     now,
		Traffic: Traffic{EncryptedBytes: 1 << 40, DecryptedBytes: 512, EncryptedPackets: 9, DecryptedPackets: 8, InvalidSPI: 3, FailCloseDropped: 2, D3P: D3PStats{1, 2, 3, 4, 5, 6, 7}},
		VPNs: []step.VPN{
			{Name: "DOWN", Group: 2},
			{
				Name: "GROUP_ID-0001", Group: 1, Zones: []step.ZonePair{{From: "LAN", To: "WAN"}},
				Exclude:  []step.Rule{{Name: "x", Source: netip.MustParsePrefix("10.0.0.0/8"), Destination: netip.MustParsePrefix("10.0.0.1/32")}},
				FailOpen: []step.Rule{{Name: "y"}},
			},
		},
		Member: member.State{VPNs: []member.VPN{
			{Name: "DOWN", Group: 2, Gateway: "SubSrv", DFBit: "clear", DownReason: "no server answers", Phase: member.Waiting, RegisterAt: in(42)},
			{
				Name: "GROUP_ID-0001", Group: 1, Gateway: "SubSrv", RecoveryProbe: true, DFBit: "clear", Up: true, Phase: member.Pulling, RekeyNeeded: true,
				Asking: netip.MustParseAddr("10.17.101.1"),
				Server: addrPort("10.17.101.1:848"), Local: addrPort("10.18.101.1:848"),
				KEK: &member.KEK{SPI: [16]byte{0xc1, 2, 3, 4, 5, 6, 7, 8, 0xd1, 2, 3, 4, 5, 6, 7, 8}, KeyBits: 256, SigHash: sa.SHA256, Seq: 3, Hard: in(7100)},
				TEKs: []member.TEK{
					{SPI: 0x1c548e4e, KeyBits: 256, Policies: policies(""), Soft: in(0), Hard: in(600), Replaced: true, RemoveAt: in(29)},
					{SPI: 0x2c548e4e, KeyBits: 256, Policies: policies(""), Activate: in(14), Soft: in(3200), Hard: in(3599), Window: 100 * time.Millisecond},
				},
				Stats: member.Stats{PullSucceeded: 1, PushSucceeded: 3, DeleteReceived: 1},
			},
		}},
	}
	goose := &sa.IEC61850{
		Selector: sa.Selector{OID: "\x06\x0b\x2a\x86\x48\xce\x56\x83\xe3\x1a\x08\x01\x02", Payload: "\x04\x04\xe9\xfc\x00\x01"},
		Auth:     sa.AuthHMACSHA256128, Enc: sa.EncCBC128, Assurance: 90, HasAssurance: true,
	}
	sampled := &sa.IEC61850{Selector: sa.Selector{OID: "\x06\x01\x80"}, Auth: sa.AuthGMAC256, Enc: sa.EncNone}
	kdc := &State{Now: now, Server: server.State{Groups: []server.GroupState{{
		Name: "STATION", ID: 7, Ready: true,
		TEKs: []server.TEKState{
			{Name: "GOOSE", SPI: 0x1c548e4e, IEC61850: goose, Created: in(-3000), Soft: in(100), Hard: in(600), Current: true},
			{Name: "SV", SPI: 0x2c548e4e, IEC61850: sampled, Created: in(-1), Soft: in(3200), Hard: in(3599), Activate: in(14), Current: true},
		},
	}}}}
	ied := &State{Now: now, Member: member.State{VPNs: []member.VPN{{
		Name: "STATION", Group: 7, Gateway: "KDC", DFBit: "clear", Up: true, Phase: member.Idle,
		Server: addrPort("10.17.101.1:848"), Local: addrPort("10.18.101.1:848"),
		TEKs: []member.TEK{
			{SPI: 0x1c548e4e, IEC61850: goose, Soft: in(100), Hard: in(600)},
			{SPI: 0x2c548e4e, IEC61850: sampled, Activate: in(14)},
		},
	}}}}
	cast := *kek
	cast.Multicast = addrPort("239.1.1.1:848")
	heard := *memberNode.Member.VPNs[1].KEK
	heard.Multicast = cast.Multicast
	multicast := &State{
		Now: now, VPNs: memberNode.VPNs,
		Server: server.State{Groups: []server.GroupState{{Name: "G", ID: 1, KEK: &cast, ActivationDelay: 15 * time.Second}}},
		Member: member.State{VPNs: []member.VPN{{Name: "V", Group: 1, Server: addrPort("10.17.101.1:848"), Local: addrPort("10.18.101.1:848"), KEK: &heard}}},
	}
	return map[string]*State{"root": root, "member": memberNode, "empty": {Now: now}, "kdc": kdc, "ied": ied, "multicast": multicast}
}

// ask carries out a line as the shell would: the longest command that it begins with, and simple arguments.
func ask(s *State, line string) (Reply, []any, error) {
	var c *Command
	for i := range commands {
		if strings.HasPrefix(line+" ", commands[i].Words+" ") && (c == nil || len(commands[i].Words) > len(c.Words)) {
			c = &commands[i]
		}
	}
	if c == nil {
		return nil, nil, errors.New("no such command")
	}
	var a Args
	words := strings.Fields(strings.TrimPrefix(line, c.Words))
	for i := 0; i < len(words); i++ {
		next := func() string { i++; return words[i] }
		switch words[i] {
		case "detail":
			a.Detail = true
		case "group":
			a.Group = next()
		case "group-id":
			n, _ := strconv.Atoi(next())
			a.GroupID = uint32(n)
		case "index":
			n, _ := strconv.Atoi(next())
			a.Index = uint64(n)
		case "peer-gateway":
			a.PeerGateway = next()
		case "vpn":
			a.VPN = next()
		case "now":
			a.Now = true
		case "kek":
			a.KEK = true
		case "tek":
			a.TEK = true
		default:
			a.Peer = netip.MustParseAddr(words[i])
		}
	}
	if c.Reply != nil {
		r, err := c.Reply(s, a)
		return r, nil, err
	}
	out, err := c.Do(s, a)
	return nil, out, err
}

func TestReplies(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var node string
			d.ScanArgs(t, "node", &node)
			r, out, err := ask(states()[node], d.Input)
			switch {
			case err != nil:
				return "error: " + err.Error() + "\n"
			case r == nil:
				var b strings.Builder
				for _, o := range out {
					fmt.Fprintf(&b, "%T%+v\n", o, o)
				}
				return b.String()
			}
			switch d.Cmd {
			case "text":
				return string(r.AppendText(nil))
			case "xml":
				return string(AppendXML(nil, r, 0, ""))
			case "json":
				return string(AppendJSON(nil, r))
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

// Every reply, of a full and of an empty node, brief and detailed, is well-formed XML under its root and valid JSON with the same
// leaves, and its text has whole lines without blanks at their ends.
func TestFormsAgree(t *testing.T) {
	for name, s := range states() {
		for _, c := range commands {
			if c.Reply == nil {
				continue
			}
			for _, detail := range []bool{false, true} {
				r, err := c.Reply(s, Args{Detail: detail})
				if err != nil {
					t.Fatalf("%s: %v", c.Words, err)
				}
				where := fmt.Sprintf("%s on %s, detail %v", c.Words, name, detail)
				fromXML := xmlLeaves(t, where, r)
				fromJSON := jsonLeaves(t, where, r)
				if !slices.Equal(fromXML, fromJSON) {
					t.Errorf("%s: leaves of XML %q\nof JSON %q", where, fromXML, fromJSON)
				}
				text := string(r.AppendText(nil))
				for line := range strings.Lines(text) {
					if !strings.HasSuffix(line, "\n") || strings.TrimRight(line, " \n")+"\n" != line {
						t.Errorf("%s: line %q", where, line)
					}
				}
			}
		}
	}
}

func xmlLeaves(t *testing.T, where string, r Reply) (leaves []string) {
	d := xml.NewDecoder(bytes.NewReader(AppendXML(nil, r, 0, "")))
	depth := 0
	var text string
	var children bool
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: XML: %v", where, err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if depth == 0 && tok.Name.Local != r.Root() {
				t.Errorf("%s: root %q, want %q", where, tok.Name.Local, r.Root())
			}
			depth++
			text, children = "", false
		case xml.CharData:
			text += string(tok)
		case xml.EndElement:
			if depth--; !children && depth > 0 {
				leaves = append(leaves, text)
			}
			children = true
		}
	}
	slices.Sort(leaves)
	return leaves
}

func jsonLeaves(t *testing.T, where string, r Reply) (leaves []string) {
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(AppendJSON(nil, r)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: JSON: %v\n%s", where, err, AppendJSON(nil, r))
	}
	if _, ok := v[r.Root()]; !ok || len(v) != 1 {
		t.Errorf("%s: JSON has members %v, want %q", where, v, r.Root())
	}
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, x := range v {
				visit(x)
			}
		case []any:
			for _, x := range v {
				visit(x)
			}
		default:
			leaves = append(leaves, fmt.Sprint(v))
		}
	}
	visit(v)
	slices.Sort(leaves)
	return leaves
}

// The table has each command once, sorted, with RPC names of their own, and each row either shows or acts.
func TestCommandTable(t *testing.T) {
	if !slices.IsSortedFunc(commands, func(a, b Command) int { return strings.Compare(a.Words, b.Words) }) {
		t.Error("not sorted by words")
	}
	rpcs := map[string]string{}
	for _, c := range commands {
		if (c.Reply == nil) == (c.Do == nil) || c.Help == "" {
			t.Errorf("%s: want one of Reply and Do, and a help text", c.Words)
		}
		if strings.HasPrefix(c.Words, "show ") != (c.Reply != nil) {
			t.Errorf("%s: only show commands have replies", c.Words)
		}
		if c.RPC == "" {
			if ours := strings.HasPrefix(c.Words, "request ") || c.Words == "show security group-vpn datagrams"; !ours {
				t.Errorf("%s: no RPC", c.Words)
			}
			continue
		}
		if rpcs[c.RPC] != "" {
			t.Errorf("RPC %s of %q and %q", c.RPC, rpcs[c.RPC], c.Words)
		}
		rpcs[c.RPC] = c.Words
	}
	if len(rpcs) != 21 { // junos-tree.md section 5.1: "the same 21 rpcs"
		t.Errorf("%d RPCs, want the 21 of Junos", len(rpcs))
	}
}

// What a leaf's text holds cannot break out of XML or JSON.
func TestEscaping(t *testing.T) {
	hostile := "a<b>&\"'\\\n\x01\xff]]>"
	r := ServerStatistics{{Name: hostile}}
	var back struct {
		Name string `xml:"group-vpn-group-name"`
	}
	if err := xml.Unmarshal(AppendXML(nil, r, 0, ""), &back); err != nil || !strings.HasPrefix(back.Name, "a<b>&\"'\\\n") {
		t.Errorf("XML gives %q, %v", back.Name, err)
	}
	var j map[string][]map[string]any
	if err := json.Unmarshal(AppendJSON(nil, r), &j); err != nil {
		t.Fatal(err)
	}
	if got := j[r.Root()][0]["group-vpn-group-name"]; got != strings.ToValidUTF8(hostile, "\uFFFD") {
		t.Errorf("JSON gives %q", got)
	}
}

// A leaf of a type that has no form is a mistake that this test would show for every reply type.
func TestEveryFieldHasAForm(t *testing.T) {
	var visit func(t reflect.Type) error
	visit = func(ty reflect.Type) error {
		switch ty.Kind() {
		case reflect.Pointer, reflect.Slice:
			return visit(ty.Elem())
		case reflect.Struct:
			for i := range ty.NumField() {
				if f := ty.Field(i); f.Tag.Get("xml") != "" {
					if err := visit(f.Type); err != nil {
						return fmt.Errorf("%s.%s: %w", ty.Name(), f.Name, err)
					}
				} else if f.IsExported() {
					return fmt.Errorf("%s.%s has no name", ty.Name(), f.Name)
				}
			}
		default:
			leaf(reflect.New(ty).Elem())
		}
		return nil
	}
	for _, r := range []Reply{ServerCluster{}, ServerStatistics{}, RegisteredMembers{}, ServerIPsec{}, ServerKEK{}, IKE{}, MemberKEK{}, MemberIPsec{}, InactiveTunnels{}, MemberPolicy{}, IPsecStatistics{}} {
		if err := visit(reflect.TypeOf(r)); err != nil {
			t.Error(err)
		}
	}
}

// Whatever an engine counts of datagrams is shown, each kind under a name of its own.
func TestDatagramsShowsEveryKind(t *testing.T) {
	s := &State{NotSent: 1, Refused: map[string]uint64{"short": 1}, IKE: ike.State{Counters: map[string]uint64{"replayed": 1}}}
	want := 3
	for _, v := range []any{&s.Server.Counters, &s.Member.Strays} {
		fields := reflect.ValueOf(v).Elem()
		for i := range fields.NumField() {
			want++
			fields.Field(i).SetUint(uint64(want))
		}
	}
	reply, err := datagrams(s, Args{})
	if err != nil {
		t.Fatal(err)
	}
	names, counts := map[string]bool{}, map[uint64]bool{}
	for _, c := range reply.(Datagrams).Counters {
		names[c.By+" "+c.Kind], counts[c.Count] = true, true
	}
	if len(names) != want || len(counts) != want-2 {
		t.Errorf("%d kinds with %d counts, want %d: %v", len(names), len(counts), want, reply)
	}
}
