package examples

import "fmt"

// perGroup is how many members a group of Gateways names: with it 100,000 gateways fill the 50 groups that a server may have.
const perGroup = 2000

// Gateways is the configuration of a key server with n gateways, each named by a group, as set lines: what the engine's
// speed is measured with. n is at most 100,000, which makes 33 MB.
func Gateways(n int) []byte {
	b := []byte("set security group-vpn server ike proposal PR authentication-method pre-shared-keys\n" +
		"set security group-vpn server ike proposal PR authentication-algorithm sha-256\n" +
		"set security group-vpn server ike proposal PR dh-group group14\n" +
		"set security group-vpn server ike proposal PR encryption-algorithm aes-256-cbc\n" +
		"set security group-vpn server ike policy P proposals PR\n" +
		"set security group-vpn server ike policy P pre-shared-key ascii-text \"a key that is long enough\"\n")
	for i := range n {
		for _, leaf := range []string{
			"ike-policy P", "address " + GatewayAddress(i), "local-address 127.84.9.1", "routing-instance default",
		} {
			b = fmt.Appendf(b, "set security group-vpn server ike gateway %s %s\n", GatewayName(i), leaf)
		}
	}
	for i := range n {
		if i%perGroup == 0 {
			b = fmt.Appendf(b, "set security group-vpn server group G%d group-id %d\n", i/perGroup, i/perGroup+1)
		}
		b = fmt.Appendf(b, "set security group-vpn server group G%d ike-gateway %s\n", i/perGroup, GatewayName(i))
	}
	return b
}

// GatewayName is the name of one of Gateways, 0 to n-1.
func GatewayName(i int) string { return fmt.Sprintf("GM-%06d", i) }

// GatewayAddress is its address.
func GatewayAddress(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }
