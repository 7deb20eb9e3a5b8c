package step

import (
	"fmt"
	"strings"
	"testing"
)

// No verb prints a pre-shared key, whatever holds the Gateway.
func TestGatewayDoesNotPrintItsKey(t *testing.T) {
	g := &Gateway{Name: "gw", PSK: []byte("hunter2!")}
	plan := &Plan{Gateways: []GatewayChange{{Old: g, New: g}, {New: g}}}
	for _, v := range []any{g, *g, plan, *plan, plan.Gateways, []*Gateway{g}, map[string]*Gateway{"gw": g}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%c", "%U", "%t"} {
			out := fmt.Sprintf(verb, v)
			for _, leak := range []string{"hunter2", "68756e74", "68756E74", "104 117", "0x68, 0x75", "1101000 1110101"} {
				if strings.Contains(out, leak) {
					t.Errorf("%s of %T: %s", verb, v, out)
				}
			}
		}
	}
	if out := fmt.Sprintf("%+v", plan); !strings.Contains(out, "Name:gw") || !strings.Contains(out, "Old:<nil>") {
		t.Errorf("a Plan prints as %s", out)
	}
}
