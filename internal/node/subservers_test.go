package node

import (
	"fmt"
	"strings"
	"testing"

	"gvpn/config"
)

// V1: a root-server has up to four sub-servers, and a commit of five says so; a node that is told to takes more, for labs.
func TestSubServers(t *testing.T) {
	five := "set security group-vpn server group G server-cluster server-role root-server\n"
	for i := 1; i <= 5; i++ {
		gateway := fmt.Sprintf("security group-vpn server ike gateway SUB%d ", i)
		five += "set " + gateway + "ike-policy K\n" + fmt.Sprintf("set %saddress 127.84.8.%d\n", gateway, 10+i) +
			"set " + gateway + "dead-peer-detection always-send\n" +
			fmt.Sprintf("set security group-vpn server group G server-cluster ike-gateway SUB%d\n", i)
	}
	for most, want := range map[int]string{
		0: "[edit security group-vpn server group G server-cluster] 'ike-gateway' a root-server has at most 4 sub-servers (gvpnd -max-sub-servers), here are 5: delete some",
		4: "[edit security group-vpn server group G server-cluster] 'ike-gateway' a root-server has at most 4 sub-servers (gvpnd -max-sub-servers), here are 5: delete some",
		5: "",
	} {
		n, err := Open(Options{Dir: t.TempDir(), Port: testPort, MaxSubServers: most})
		if err != nil {
			t.Fatal(err)
		}
		check := func(text, want string) {
			t.Helper()
			tree, errs := config.Tree{}.LoadSet(nil, "test", []byte(onLoopback(text)))
			if err := errs.Err(); err != nil {
				t.Fatal(err)
			}
			got := ""
			if _, err := n.db.Check(tree); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("at most %d: %q, want %q", most, got, want)
			}
		}
		check(serverText+five, want)
		check(serverText+strings.ReplaceAll(five, "set security group-vpn server group G server-cluster ike-gateway SUB5\n", ""), "")
		closeNode(t, n)
	}
}
