package commit

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gvpn/commit/step"
)

// What engines refuse is worded with the statement's place, each refusal as an error of its own.
func TestRefusalsHaveAPlace(t *testing.T) {
	err := errors.Join(
		&step.Refusal{Group: "G", Statement: []string{"sender-id-bits"}, Reason: "not yet supported"},
		fmt.Errorf("engine: %w", &step.Refusal{Gateway: "M", Side: step.Member, Reason: "no address"}),
		&step.Refusal{VPN: "V", Statement: []string{"exclude", "rule", "r", "application"}, Reason: "unknown"},
		&step.Refusal{Gateway: "S", Statement: []string{"dynamic"}, Reason: "not supported"},
		errors.New("disk on fire"),
	)
	var got []string
	for _, e := range refusal("operation-not-supported", err) {
		got = append(got, e.Error())
	}
	want := []string{
		"[edit security group-vpn server group G] 'sender-id-bits' not yet supported",
		"[edit security group-vpn member ike] 'gateway M' no address",
		"[edit security group-vpn member ipsec vpn V exclude rule r] 'application' unknown",
		"[edit security group-vpn server ike gateway S] 'dynamic' not supported",
		"[edit] disk on fire",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
}
