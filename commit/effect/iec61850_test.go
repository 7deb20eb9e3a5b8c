package effect

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gvpn/commit/diff"
	"gvpn/commit/step"
	"gvpn/config"
	"gvpn/sa"
)

// The example of docs/group-extensions.md is valid without a warning, and means what it says.
func TestGooseExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/group-extensions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```\n")
	text, _, _ = strings.Cut(text, "```")
	next := load(t, config.Tree{}, text)
	if errs, warnings := next.Validate(config.Tree{}); len(errs)+len(warnings) > 0 {
		t.Fatal(errs, warnings)
	}
	p, err := Plan(config.Tree{}, next, diff.Diff(config.Tree{}, next))
	if err != nil || len(p.Groups) != 1 {
		t.Fatalf("%d groups, %v", len(p.Groups), err)
	}
	g := p.Groups[0].New
	goose := sa.Selector{OID: "\x06\x0b\x2a\x86\x48\xce\x56\x83\xe3\x1a\x08\x01\x02", Payload: "\x04\x04\xe9\xfc\x00\x01"}
	want := []step.IPsecSA{{
		Name: "GOOSE", Lifetime: 12 * time.Hour, IEC61850: &sa.IEC61850{Selector: goose, Auth: sa.AuthHMACSHA256128, Enc: sa.EncCBC128},
	}}
	if d := cmp.Diff(want, g.SAs); d != "" || g.Selector != goose {
		t.Errorf("asked for by %v; SAs (-want +got):\n%s", g.Selector, d)
	}
}

// Digits that are no DER pass the schema and no commit.
func TestPayloadIsDER(t *testing.T) {
	for _, at := range []string{"server group G object-identity", "server group G iec61850-sa A", "member ipsec vpn V object-identity"} {
		text := `
set security group-vpn server group G group-id 1
set security group-vpn server group G iec61850-sa A authentication-algorithm hmac-sha-256
`
		if strings.HasPrefix(at, "member") {
			text = `
set security group-vpn member ike proposal P dh-group group14
set security group-vpn member ike policy K proposals P
set security group-vpn member ike policy K pre-shared-key ascii-text secret
set security group-vpn member ike gateway S ike-policy K
set security group-vpn member ike gateway S server-address 127.0.0.1
set security group-vpn member ipsec vpn V ike-gateway S
set security group-vpn member ipsec vpn V group 1
`
		}
		for payload, want := range map[string]string{
			"0403010203": "", "233.252.0.1": "", "0402010203": "Must be an IPv4 multicast address, or one element of DER as hexadecimal digits",
		} {
			next := load(t, config.Tree{}, text+"set security group-vpn "+at+" object-identifier 1.2.3 payload "+payload)
			if errs, _ := next.Validate(config.Tree{}); len(errs) > 0 {
				t.Fatal(errs)
			}
			_, err := Plan(config.Tree{}, next, diff.Diff(config.Tree{}, next))
			if got := err != nil && strings.Contains(err.Error(), want); got != (want != "") {
				t.Errorf("%s payload %s: %v", at, payload, err)
			}
		}
	}
}
