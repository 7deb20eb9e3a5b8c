package netconf

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
	"testing"

	"gvpn/commit/step"
	"gvpn/internal/auth"
	"gvpn/oper"
	"gvpn/server"
)

// withGroup is a node with one group, which has had a member.
func withGroup(t *testing.T) *node {
	n := newNode(t, "")
	n.state = oper.State{
		Groups: []step.Group{{Name: "GROUP_ID-0001", ID: 1}},
		Server: server.State{Groups: []server.GroupState{{Name: "GROUP_ID-0001", ID: 1, Statistics: server.Statistics{PullSucceeded: 7}}}},
	}
	return n
}

// Every RPC of Junos's is there, and on the page: what shows answers with its root element, what acts with ok and commands for the
// engines.
func TestOperational(t *testing.T) {
	page, err := os.ReadFile("../docs/netconf.md")
	if err != nil {
		t.Fatal(err)
	}
	n := withGroup(t)
	c := dial(t, New(n), root)
	c.open("1.1")
	all := 0
	for _, command := range oper.Commands() {
		if command.RPC == "" {
			continue
		}
		all++
		if row := "| `" + command.RPC + "` | `" + command.Words + "` |"; !strings.Contains(string(page), row) {
			t.Errorf("docs/netconf.md has no %s", row)
		}
		n.did = nil
		got := c.rpc("<" + command.RPC + "/>")
		if command.Reply == nil {
			// With no SA there is nothing to delete.
			if got != ok || len(n.did) == 0 && !strings.HasSuffix(command.Words, "ike security-associations") {
				t.Errorf("%s: %q, did %v", command.RPC, got, n.did)
			}
			continue
		}
		answer, err := command.Run(n, oper.Args{})
		if err != nil {
			t.Fatal(err)
		}
		var element struct{ XMLName xml.Name }
		if err := xml.Unmarshal([]byte(got), &element); err != nil || element.XMLName.Local != answer.Root() || !strings.HasPrefix(element.XMLName.Space, "http://xml.juniper.net/junos/") || len(n.did) > 0 {
			t.Errorf("%s: %v, %q", command.RPC, err, got)
		}
	}
	if all != 21 {
		t.Errorf("%d RPCs", all)
	}
}

func TestOperationalArguments(t *testing.T) {
	n := withGroup(t)
	c := dial(t, New(n), root)
	c.open("1.1")
	statistics := "get-security-group-vpn-server-stats"
	for _, want := range []string{"<group>GROUP_ID-0001</group>", "<group-id>1</group-id>", ""} {
		if got := c.rpc("<" + statistics + ">" + want + "</" + statistics + ">"); !strings.Contains(got, "<group-vpn-pull-succeeded>7</group-vpn-pull-succeeded>") {
			t.Errorf("%s: %q", want, got)
		}
	}
	if got := c.rpc("<" + statistics + ` format="text"/>`); !strings.HasPrefix(got, "<output>\n") || !strings.Contains(got, "GROUP_ID-0001") || strings.Contains(got, "pull-succeeded>") {
		t.Errorf("text: %q", got)
	}
	clear := "clear-security-group-vpn-server"
	got := c.rpc("<" + clear + "><" + clear + "-group-name>GROUP_ID-0001</" + clear + "-group-name><" + clear + "-now/></" + clear + ">")
	if want := fmt.Sprint([]any{server.Clear{Group: "GROUP_ID-0001", Now: true}}); got != ok || fmt.Sprint(n.did) != want {
		t.Errorf("%q, did %v, want %s", got, n.did, want)
	}
	n.did = nil
	for _, x := range []struct{ rpc, in, tag, message string }{
		{statistics, "<group>OTHER</group>", "operation-failed", "group &#39;OTHER&#39; is not configured"},
		{statistics, "<group-id>0</group-id>", "invalid-value", "expected a number from 1 to 4294967295"},
		{statistics, "<group/>", "invalid-value", "it is empty"},
		{statistics, "<group>A</group><group-id>1</group-id>", "bad-element", "cannot be given beside"},
		{statistics, "<group>A</group><group>B</group>", "bad-element", "cannot be given beside"},
		{statistics, "<group><a/></group>", "bad-element", "holds elements"},
		{statistics, "<detail/>", "operation-not-supported", "with detail"},
		{statistics, "<fpc>1</fpc>", "operation-not-supported", "with fpc"},
		{statistics, "GROUP_ID-0001", "bad-element", "text in"},
		{"get-security-group-vpn-server-kek-sa", "<level>most</level>", "invalid-value", "expected brief or detail"},
		{"get-security-group-vpn-server-kek-sa", "<detail>yes</detail>", "invalid-value", "it has no content"},
		{"get-security-group-vpn-server-registered-members", "<peer-address>host</peer-address>", "invalid-value", "expected an address"},
		{"get-security-group-vpn-server-kek-sa", "<index>-1</index>", "invalid-value", "expected a number from 1"},
	} {
		got := c.rpc("<" + x.rpc + ">" + x.in + "</" + x.rpc + ">")
		if !strings.Contains(got, "<error-tag>"+x.tag+"</error-tag>") || !strings.Contains(got, x.message) {
			t.Errorf("%s %s: %q", x.rpc, x.in, got)
		}
	}
	if got := c.rpc("<" + statistics + ` format="json"/>`); !strings.Contains(got, "operation-not-supported") {
		t.Errorf("json: %q", got)
	}
	if len(n.did) > 0 {
		t.Errorf("did %v", n.did)
	}
}

// Who may only look may not clear.
func TestOperationalPermissions(t *testing.T) {
	for class, may := range map[auth.Class][2]bool{
		auth.SuperUser: {true, true}, auth.Operator: {true, true}, auth.ReadOnly: {true, false}, auth.Unauthorized: {false, false},
	} {
		n := withGroup(t)
		c := dial(t, New(n), auth.Identity{User: "u", Class: class})
		c.open("1.1")
		shown := !strings.Contains(c.rpc("<get-security-group-vpn-server-stats/>"), "access-denied")
		cleared := c.rpc("<clear-security-group-vpn-server-statistics/>") == ok
		if got := [2]bool{shown, cleared}; got != may || cleared != (len(n.did) > 0) {
			t.Errorf("%s: %v, want %v, did %v", class, got, may, n.did)
		}
	}
}
