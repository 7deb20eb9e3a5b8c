package netconf

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gvpn/config"
	"gvpn/internal/auth"
)

// However long the names and values are that a client sends, the answer is short and well-formed.
func TestAnswersAreShort(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	medium := strings.Repeat("a", maxTag/2)
	for in, want := range map[string]string{
		`<rpc message-id="1"><` + long + `/></rpc>`:                                                           "has 1048576 octets, at most 16384 are taken",
		`<rpc message-id="` + long + `"><get/></rpc>`:                                                         "the start tag of <rpc> has 1048589 octets, at most 16384 are taken",
		`<rpc message-id="1"><a></` + long + `></rpc>`:                                                        "<a> is ended by </aaa",
		`<rpc message-id="1"/><` + long + `/>`:                                                                "a second element <aaa",
		`<rpc message-id="1"><` + medium + `/></rpc>`:                                                         "aaa...",
		`<` + medium + `/>`:                                                                                   "where &lt;rpc&gt; is due",
		`<rpc message-id="1"><edit-config><target><` + medium + `/></target></edit-config></rpc>`:             "is not supported",
		`<rpc message-id="1"><edit-config><target><candidate/></target><` + medium + `/></edit-config></rpc>`: "is not supported",
		`<rpc message-id="1"><edit-config><target><candidate/></target><default-operation>` + long + `</default-operation></edit-config></rpc>`:                                                  "default-operation",
		`<rpc message-id="1"><edit-config><target><candidate/></target><test-option>` + long + `</test-option></edit-config></rpc>`:                                                              "test-option",
		`<rpc message-id="1"><edit-config><target><candidate/></target><error-option>` + long + `</error-option></edit-config></rpc>`:                                                            "error-option",
		`<rpc message-id="1"><kill-session><session-id>` + long + `</session-id></kill-session></rpc>`:                                                                                           "session-id",
		`<rpc message-id="1"><edit-config><target><candidate/></target><config><configuration><` + long + `/></configuration></config></edit-config></rpc>`:                                      "expecting &lt;statement&gt;",
		`<rpc message-id="1"><edit-config><target><candidate/></target><config><configuration><system><host-name>` + long + `</host-name></system></configuration></config></edit-config></rpc>`: "Length 1048576 is not within range (1..253)",
		`<rpc message-id="1"><edit-config><target><candidate/></target><config><` + long + `/></config></edit-config></rpc>`:                                                                     "at most 16384 are taken",
		`<rpc message-id="1"><edit-config><target><candidate/></target><config><configuration>` + strings.Repeat("<a/>", 1<<18) + `</configuration></config></edit-config></rpc>`:                "and 262044 more errors, the first of them here",
	} {
		n := newNode(t, "set system host-name before")
		x := &session{server: New(n), identity: root, end: func() {}}
		x.server.enter(x)
		var out []byte
		request, err := parseMessage([]byte(in))
		if err == nil {
			var body []byte
			if body, err = x.answer(request); err != nil {
				body = appendFaults(nil, faultsOf(err))
			}
			out = reply(request, body)
			wellFormed(t, out)
		} else {
			out = []byte(err.Error())
		}
		if len(out) > 100<<10 || !strings.Contains(string(out), strings.ReplaceAll(want, "<", "&lt;")) && !strings.Contains(string(out), want) {
			t.Errorf("%.150s\n%d octets: %.600s\nwant %s", in, len(out), out, want)
		}
		if n.db.Candidate().Changed() {
			t.Errorf("%.100s: changed", in)
		}
		x.server.leave(x)
	}
}

// A message that is too long is the last; who may only look may not send as much as who configures.
func TestMessageTooBig(t *testing.T) {
	c := dial(t, New(newNode(t, "")), auth.Identity{User: "mary", Class: auth.ReadOnly})
	c.open("1.1")
	head := fmt.Sprintf("\n#%d\n", maxQuery+1)
	if _, err := c.conn.Write([]byte(head)); err != nil {
		t.Fatal(err)
	}
	if got := c.read(); !strings.Contains(got, "<error-tag>too-big</error-tag>") || !strings.Contains(got, "message of more than 1048576 octets") {
		t.Error(got)
	}
	if err := c.wait(); !errors.Is(err, errTooBig) {
		t.Error(err)
	}
}

// The declarations of namespaces around the values of a leaf-list are taken out in one pass: what is allocated follows their number.
func TestLeafListIsWrittenOnce(t *testing.T) {
	size := func(values int) int64 {
		var set strings.Builder
		for i := range values {
			fmt.Fprintf(&set, "set security group-vpn server ike policy P proposals p%07d\n", i)
		}
		tree, errs := config.Tree{}.LoadSet(nil, "", []byte(set.String()))
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		n := tree.Root().Child("security").Child("group-vpn").Child("server").Child("ike").Entry("policy", "P").Child("proposals")
		p := printer{}
		out := p.appendWhole([]byte("before"), n, 0, n.Schema().Namespace())
		if strings.Count(string(out), "<proposals>p") != values || strings.Contains(string(out), "xmlns") || !strings.HasPrefix(string(out), "before") {
			t.Errorf("%d values: %.300s", values, out)
		}
		return int64(len(out))
	}
	if one, ten := size(6_000), size(60_000); ten > 10*one {
		t.Errorf("%d and %d octets", one, ten)
	}
}
