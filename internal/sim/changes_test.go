package sim

import (
	"slices"
	"strings"
	"time"

	"gvpn/commit/step"
)

const group = "GROUP_ID-0001"

// change is what an operator commits on the nodes of a random schedule, each of which takes it when it is up. back undoes it a while
// later, where members could not be well without that.
type change struct {
	root, sub1, sub2 string
	back             *change
}

// everywhere is the same on every server, as V8 asks for.
func everywhere(lines string) change {
	return change{root: inFull(lines), sub1: inFull(lines), sub2: inFull(lines)}
}

// onSubs is on sub-servers only, which have the gateways of members.
func onSubs(lines string) change { return change{sub1: inFull(lines), sub2: inFull(lines)} }

func (c change) then(back change) change {
	c.back = &back
	return c
}

// inFull lets changes be written without what all of them begin with: "set group" is of the group, "set ike" of the server.
func inFull(lines string) string {
	all := strings.Split(lines, "\n")
	for i, line := range all {
		verb, rest, _ := strings.Cut(line, " ")
		rest, ofGroup := strings.CutPrefix(rest, "group")
		if ofGroup {
			rest = " group " + group + rest
		} else {
			rest = " " + rest
		}
		all[i] = verb + " security group-vpn server" + rest
	}
	return strings.Join(all, "\n")
}

// changes are those of every world.
var changes = []change{
	everywhere("set group ipsec-sa MORE proposal AES256-SHA256-L3600\n" +
		"set group ipsec-sa MORE match-policy 1 source 10.0.0.0/8 destination 10.0.0.0/8 protocol 17"), // 1.11
	everywhere("delete group ipsec-sa MORE"), // 1.13
	everywhere("set group ipsec-sa GROUP_ID-0001 match-policy 2 source 192.168.0.0/16 destination 192.168.0.0/16 protocol 0"), // 1.12b
	everywhere("delete group ipsec-sa GROUP_ID-0001 match-policy 2"),
	everywhere("set group iec61850-sa GOOSE object-identifier 1.2.840.10070.61850.8.1.2 authentication-algorithm hmac-sha-256"),
	everywhere("set group iec61850-sa GOOSE payload 233.252.0.1 lifetime-seconds 300"),
	everywhere("delete group iec61850-sa GOOSE"),
	everywhere("set group server-member-communication lifetime-seconds 600"), // 1.9
	everywhere("set group activation-time-delay 20"),                         // 1.15
	everywhere("set group member-threshold 100"),
	everywhere("set group no-anti-replay"), // 1.7
	everywhere("delete group no-anti-replay"),
	everywhere("set ike proposal PSK-SHA256-DH14-AES256 encryption-algorithm aes-128-cbc"). // 1.1a, and 2.1b in a cluster
												then(everywhere("set ike proposal PSK-SHA256-DH14-AES256 encryption-algorithm aes-256-cbc")),
	onSubs("set ike policy GMs pre-shared-key ascii-text another-secret").then(onSubs("set ike policy GMs pre-shared-key ascii-text lab-only-members")),
	onSubs("deactivate ike gateway GM-0003\ndeactivate group ike-gateway GM-0003").
		then(onSubs("activate ike gateway GM-0003\nactivate group ike-gateway GM-0003")), // 1.1b
	onSubs("delete group ike-gateway GM-0003").then(onSubs("set group ike-gateway GM-0003")), // 1.5b and 1.5a
	everywhere("deactivate group").then(everywhere("activate group")),                        // 1.3 and 1.14
	everywhere("set group group-id 7").then(everywhere("set group group-id 1")),              // 1.4
}

// unicastChanges are those where pushes go to each member.
var unicastChanges = []change{
	everywhere("delete group server-member-communication"), // 1.10
	everywhere("set group server-member-communication communication-type unicast encryption-algorithm aes-256-cbc sig-hash-algorithm sha-256"), // 1.8
}

// toMulticast makes a server of the example one that sends its pushes by multicast, toUnicast one that does not. Both bring
// server-member-communication back after its deletion; toUnicast sets the multicast-group that it deletes, so that there is one.
var (
	toMulticast = inFull("set group server-member-communication communication-type multicast multicast-group 239.1.1.1 " +
		"encryption-algorithm aes-256-cbc sig-hash-algorithm sha-256")
	toUnicast = inFull("set group server-member-communication communication-type unicast multicast-group 239.1.1.1 " +
		"encryption-algorithm aes-256-cbc sig-hash-algorithm sha-256\n" +
		"delete group server-member-communication multicast-group")
)

// multicastChanges are those of a server that is alone.
var multicastChanges = []change{
	onSubs("delete group server-member-communication"),
	{sub1: toUnicast},
	{sub1: toMulticast},
}

// windowChanges are windows that clocks which are 18 s apart have (1.6).
var windowChanges = []change{
	everywhere("set group anti-replay-time-window 20000"),
	everywhere("set group anti-replay-time-window 60000"),
}

// counting makes nonces count, and sender IDs few.
var counting = inFull("delete ipsec proposal AES256-SHA256-L3600 authentication-algorithm\n" +
	"set ipsec proposal AES256-SHA256-L3600 encryption-algorithm aes-256-gcm\n" +
	"set group sender-id-bits 8")

// countingChanges are more of those of a group whose nonces count.
var countingChanges = []change{
	everywhere("set ipsec proposal AES256-SHA256-L3600 encryption-algorithm aes-256-cbc\n" +
		"set ipsec proposal AES256-SHA256-L3600 authentication-algorithm hmac-sha-256-128"),
	{root: counting, sub1: counting, sub2: counting},
	everywhere("set group sender-id-bits 12"),
	everywhere("set group iec61850-sa GOOSE object-identifier 1.2.840.10070.61850.8.1.2 authentication-algorithm aes-128-gmac\n" +
		"set group iec61850-sa GOOSE payload 233.252.0.1 lifetime-seconds 300"),
}

// clusterChanges are of Table 2.
var clusterChanges = []change{
	change{ // 2.1b
		root: inFull("set ike policy SubSrv pre-shared-key ascii-text another-secret"),
		sub1: inFull("set ike policy RootSrv pre-shared-key ascii-text another-secret"), sub2: inFull("set ike policy RootSrv pre-shared-key ascii-text another-secret"),
	}.then(change{
		root: inFull("set ike policy SubSrv pre-shared-key ascii-text lab-only-between-servers"),
		sub1: inFull("set ike policy RootSrv pre-shared-key ascii-text lab-only-between-servers"),
		sub2: inFull("set ike policy RootSrv pre-shared-key ascii-text lab-only-between-servers"),
	}),
	change{root: inFull("delete group server-cluster ike-gateway SubSrv02")}.then( // 2.4b and 2.4a
		change{root: inFull("set group server-cluster ike-gateway SubSrv02")}),
	everywhere("set group server-cluster retransmission-period 5"),                                                      // 2.5
	change{root: inFull("deactivate group server-cluster")}.then(change{root: inFull("activate group server-cluster")}), // 2.6 and 2.2
	change{sub1: inFull("deactivate group server-cluster")}.then(change{sub1: inFull("activate group server-cluster")}),
}

// commit has a change committed, the root first (V10); a node that is down misses it until it is up.
func (d *drawn) commit(c change) {
	d.w.Disorder()
	for name, lines := range map[string]string{"root": c.root, "sub1": c.sub1, "sub2": c.sub2} {
		if lines != "" && slices.Contains(d.servers, name) {
			n := d.w.nodes[name]
			n.pending = append(n.pending, lines)
		}
	}
	d.commitPending()
	if c.back != nil {
		d.w.Run(d.some("before it is undone", 120_000))
		d.commit(*c.back)
	}
}

// commitPending commits what has not been committed on the nodes that are up. A deletion of what is not there is no fault.
func (d *drawn) commitPending() {
	for _, name := range d.servers {
		n := d.w.nodes[name]
		for n.up && len(n.pending) > 0 {
			if err := n.Commit([]byte(n.pending[0])); err == nil {
				d.planned(n.planned)
			} else if n.up && !strings.Contains(err.Error(), "not found") {
				d.Errorf("%s: commit: %v", name, err)
			}
			n.pending = n.pending[1:]
		}
	}
}

// planned counts the rows of a plan.
func (d *drawn) planned(p *step.Plan) {
	rows := map[string]bool{}
	for _, e := range slices.Concat(p.Effects, p.Quiet) {
		rows["commits of row "+e.Row] = true
	}
	for row := range rows {
		d.of[row]++
	}
}

// onePeer makes of the example's root-server one with a single sub-server, so that they can change places.
var onePeer = inFull("delete group server-cluster ike-gateway SubSrv02\n" +
	"delete group server-cluster ike-gateway SubSrv03\n" +
	"delete group server-cluster ike-gateway SubSrv04")

// roles has root-server and sub-server change places (2.3), the old root first: the operator sees to it that there are never two, so
// both are up and stay so.
func (d *drawn) roles() {
	if len(d.servers) != 2 {
		return
	}
	d.w.Disorder()
	for _, name := range d.servers {
		n := d.w.nodes[name]
		n.cut = -1
		n.Restart()
	}
	d.commitPending()
	for i, role := range []step.Role{step.SubServer, step.RootServer} {
		n := d.w.nodes[d.servers[i]]
		if err := n.Commit([]byte(inFull("set group server-cluster server-role " + role.String()))); err != nil {
			d.Fatal(err)
		}
		d.planned(n.planned)
		d.w.Run(d.some("until the other follows", int(time.Minute/time.Millisecond)))
	}
	slices.Reverse(d.servers)
}
