package effect

import (
	"strings"

	"gvpn/commit/diff"
)

// family says where a change of one node of the schema goes: into a row for each operation, or, with a reason, into none.
type family struct {
	path                string // names joined by slashes, without security; a node belongs to the longest that it starts with
	add, modify, delete string // rows; "-" for none
	why                 string // needed where an operation has no row
}

// families has a place for every node of the schema; a test counts them. Of several rows in one field, one
// applies: 1.1, or none ("-"), to gateways of members, 2.1 to those of cluster peers; the others as the note says.
var families = []family{
	{"group-vpn/server/traceoptions", "-", "-", "-", "what is logged, not what is done"},
	{"group-vpn/server/ike/proposal", "-", "-", "1.1b 2.1b", "an addition acts once a policy names it; order means nothing"},
	{"group-vpn/server/ike/proposal/", "1.1a 2.1b", "1.1a 2.1b", "1.1a 2.1b", ""},
	{"group-vpn/server/ike/proposal/description", "-", "-", "-", "T3"},
	{"group-vpn/server/ike/proposal/authentication-method", "- 1.1a 2.1b", "1.1a 2.1b", "- 1.1a 2.1b", "its absence means pre-shared-keys"},
	{"group-vpn/server/ike/policy", "-", "-", "1.1b 2.1b", "an addition acts once a gateway names it; order means nothing"},
	{"group-vpn/server/ike/policy/", "1.1a 2.1b", "1.1a 2.1b", "1.1a 2.1b", ""},
	{"group-vpn/server/ike/policy/description", "-", "-", "-", "T3"},
	{"group-vpn/server/ike/gateway", "2.1a", "-", "1.1b 2.1b", "an addition acts once a group names it, 2.1a says so of peers; order means nothing"},
	{"group-vpn/server/ike/gateway/", "1.1a 2.1b", "1.1a 2.1b", "1.1a 2.1b", ""},
	{"group-vpn/server/ike/gateway/ike-policy", "- 2.1a", "1.1a 2.1b", "1.1b 2.1b", "a gateway without it is not used"},
	{"group-vpn/server/ike/gateway/address", "- 2.1a", "1.1a 2.1b", "1.1b 2.1b", "a gateway without it is not used"},
	{"group-vpn/server/ike/gateway/dynamic/", "-", "1.1a 2.1b", "1.1b 2.1b", "a gateway without it is not used"},
	{"group-vpn/server/ipsec/proposal", "-", "-", "-", "acts through the ipsec-sa that names it: V4 has that change in the same commit (1.12a)"},
	{"group-vpn/server/ipsec/proposal/", "1.2", "1.2", "1.2", ""},
	{"group-vpn/server/ipsec/proposal/description", "-", "-", "-", "T3"},
	{"group-vpn/server/ipsec/proposal/authentication-algorithm", "-", "-", "-", "it has one value"},

	{"group-vpn/server/member-limit", "-", "-", "-", "it counts from the next registration on, as a threshold does (T3)"},
	{"group-vpn/server/group", "1.14", "-", "1.3", "order means nothing"},
	{"group-vpn/server/group/description", "1.15", "1.15", "1.15", "T3"},
	{"group-vpn/server/group/group-id", "1.14", "1.4", "1.3", "a group without it is not served"},
	{"group-vpn/server/group/member-threshold", "1.15", "1.15", "1.15", "T3"},
	{"group-vpn/server/group/server-cluster", "2.2", "2.3", "2.6", ""},
	{"group-vpn/server/group/server-cluster/ike-gateway", "2.4a", "1.15", "2.4b", "a change is one of order"},
	{"group-vpn/server/group/server-cluster/retransmission-period", "2.5", "2.5", "2.5", ""},
	{"group-vpn/server/group/ike-gateway", "1.5a", "1.15", "1.5b", "a change is one of order"},
	{"group-vpn/server/group/activation-time-delay", "1.15", "1.15", "1.15", "T3"},
	{"group-vpn/server/group/deactivation-time-delay", "1.15", "1.15", "1.15", "T3"},
	{"group-vpn/server/group/sender-id-bits", "1.15", "1.15", "1.15", "acts when the group's sender IDs begin anew"},
	{"group-vpn/server/group/anti-replay-time-window", "1.6", "1.6", "1.6", "T1 for the deletion"},
	{"group-vpn/server/group/no-anti-replay", "1.7", "1.7", "1.7", "T1 for the deletion; of the first version, no model of 17.4 to 24.4 has it"},
	{"group-vpn/server/group/server-member-communication", "1.8", "1.9", "1.10", ""},
	{"group-vpn/server/group/server-member-communication/", "1.8 1.9", "1.9", "1.9 1.10", "the first and the last leaf are the addition and the deletion of the whole"},
	{"group-vpn/server/group/server-member-communication/communication-type", "1.8 1.9 1.15", "1.9", "1.9 1.10 1.15", "as above; its absence means unicast"},
	{"group-vpn/server/group/server-member-communication/heartbeat", "1.8 1.15", "1.15", "1.10 1.15", "as above, and it has no effect"},
	{"group-vpn/server/group/ipsec-sa", "1.11", "1.15", "1.13", "a change is one of order"},
	{"group-vpn/server/group/ipsec-sa/proposal", "1.11", "1.12a", "1.13", "an ipsec-sa without it is not used"},
	{"group-vpn/server/group/ipsec-sa/match-policy", "1.11 1.12b", "1.12b", "1.12b 1.13", "an ipsec-sa without any is not used"},
	{"group-vpn/server/group/ipsec-sa/match-policy/", "1.12b", "1.12b", "1.12b", ""},
	{"group-vpn/server/group/object-identity", "1.15", "1.15", "1.15", "how members ask from now on"},
	{"group-vpn/server/group/iec61850-sa", "1.11", "1.15", "1.13", "a change is one of order"},
	{"group-vpn/server/group/iec61850-sa/", "- 1.2", "1.2", "- 1.2", "one that is not used is nothing"},
	{"group-vpn/server/group/iec61850-sa/object-identifier", "1.11", "1.12b", "1.13", "an iec61850-sa without it is not used"},
	{"group-vpn/server/group/iec61850-sa/payload", "- 1.12b", "1.12b", "- 1.12b", "one that is not used is nothing"},
	{"group-vpn/server/group/iec61850-sa/authentication-algorithm", "1.11", "1.2", "1.13", "an iec61850-sa without it is not used"},

	{"group-vpn/member/ike/traceoptions", "-", "-", "-", "what is logged, not what is done"},
	{"group-vpn/member/ike/proposal", "-", "-", "3.3", "an addition acts once a policy names it; order means nothing"},
	{"group-vpn/member/ike/proposal/", "3.3", "3.3", "3.3", ""},
	{"group-vpn/member/ike/proposal/description", "-", "-", "-", "T3"},
	{"group-vpn/member/ike/proposal/authentication-method", "- 3.3", "3.3", "- 3.3", "its absence means pre-shared-keys"},
	{"group-vpn/member/ike/policy", "-", "-", "3.3", "an addition acts once a gateway names it; order means nothing"},
	{"group-vpn/member/ike/policy/", "3.3", "3.3", "3.3", ""},
	{"group-vpn/member/ike/policy/description", "-", "-", "-", "T3"},
	{"group-vpn/member/ike/policy/certificate/trusted-ca/ca-index", "-", "-", "-", "commit refuses it"},
	{"group-vpn/member/ike/policy/certificate/peer-certificate-type", "-", "-", "-", "it has one value that commit takes"},
	{"group-vpn/member/ike/policy/proposal-set", "-", "-", "-", "commit refuses it"},
	{"group-vpn/member/ike/gateway", "-", "-", "3.3", "an addition acts once a vpn names it; order means nothing"},
	{"group-vpn/member/ike/gateway/", "3.3", "3.3", "3.3", ""},
	{"group-vpn/member/ike/gateway/ike-policy", "3.1", "3.3", "3.2", "a gateway without it is not used, nor is its vpn"},
	{"group-vpn/member/ike/gateway/server-address", "3.1 3.4", "3.4", "3.2 3.4", "a gateway without any is not used, nor is its vpn"},
	{"group-vpn/member/ipsec/vpn", "3.1", "3.6", "3.2", "a change is one of order"},
	{"group-vpn/member/ipsec/vpn/ike-gateway", "3.1", "3.3", "3.2", "a vpn without it is not used"},
	{"group-vpn/member/ipsec/vpn/group", "3.1", "3.3", "3.2", "a vpn without it is not used"},
	{"group-vpn/member/ipsec/vpn/group-vpn-external-interface", "3.3", "3.3", "3.3", "the way to the servers"},
	{"group-vpn/member/ipsec/vpn/object-identity", "3.3", "3.3", "3.3", "which group it is"},
	{"group-vpn/member/ipsec/vpn/heartbeat-threshold", "3.6", "3.6", "3.6", "has no effect"},
	{"group-vpn/member/ipsec/vpn/recovery-probe", "3.6", "3.6", "3.6", ""},
	{"group-vpn/member/ipsec/vpn/df-bit", "3.5", "3.5", "3.5", ""},
	{"group-vpn/member/ipsec/vpn/fail-open", "3.5", "3.5", "3.5", ""},
	{"group-vpn/member/ipsec/vpn/exclude", "3.5", "3.5", "3.5", ""},

	{"group-vpn/member/ipsec/vpn/match-direction", "3.5", "3.5", "3.5", ""},
	{"group-vpn/member/ipsec/vpn/tunnel-mtu", "3.5", "3.5", "3.5", ""},
	{"group-vpn/member/ipsec/vpn/forward-policy-mismatch", "3.5", "3.5", "3.5", ""},

	{"ipsec-policy/from-zone", "3.5", "3.5", "3.5", "binding"},
	{"services/service-set", "- 3.5", "-", "- 3.5", "one that binds no VPN is nothing; order means nothing"},
	{"services/service-set/ipsec-group-vpn", "3.5", "3.5", "3.5", "binding"},
	{"services/service-set/interface-service/service-interface", "3.5", "3.5", "3.5", "binding"},
	{"services/service-set/interface-service/load-balancing-options", "-", "-", "-", "it has no effect, as commit warns"},
	{"services/service-set/next-hop-service", "-", "-", "-", "commit refuses it beside a group VPN"},
	{"services/service-set/sampling-service", "-", "-", "-", "commit refuses it beside a group VPN"},
	{"services/service-set/ipsec-vpn-options", "-", "-", "-", "commit refuses them"},
	{"services/service-set/ipsec-vpn-rules", "-", "-", "-", "commit refuses them"},
	{"services/service-set/ipsec-vpn-rule-sets", "-", "-", "-", "commit refuses them"},
	{"services/service-set/tcp-mss", "-", "-", "-", "it has no effect, as commit warns"},
	{"services/service-set/max-flows", "-", "-", "-", "it has no effect, as commit warns"},
	{"services/service-interface-pools", "-", "-", "-", "for next-hop-service, which commit refuses beside a group VPN"},
	{"applications/application", "-", "-", "-", "acts through the rules that name it, which V4 has change in the same commit; order means nothing"},
	{"applications/application/", "3.5", "3.5", "3.5", ""},
	{"applications/application/description", "-", "-", "-", "T3"},
	{"applications/application/term", "- 3.5", "- 3.5", "- 3.5", "commit refuses a rule that names an application with it"},
	{"applications/application/icmp-type", "- 3.5", "- 3.5", "- 3.5", "commit refuses a rule that names an application with it"},
	{"applications/application/icmp-code", "- 3.5", "- 3.5", "- 3.5", "commit refuses a rule that names an application with it"},
	{"applications/application/icmp6-type", "- 3.5", "- 3.5", "- 3.5", "commit refuses a rule that names an application with it"},
	{"applications/application/icmp6-code", "- 3.5", "- 3.5", "- 3.5", "commit refuses a rule that names an application with it"},
	{"applications/application/rpc-program-number", "- 3.5", "- 3.5", "- 3.5", "commit refuses a rule that names an application with it"},
	{"applications/application/uuid", "- 3.5", "- 3.5", "- 3.5", "commit refuses a rule that names an application with it"},
	{"applications/application/application-protocol", "-", "-", "-", "it has no effect"},
	{"applications/application/inactivity-timeout", "-", "-", "-", "it has no effect"},
	{"applications/application-set", "-", "-", "-", "no rule names one"},

	{"ike/gateway", "-", "-", "-", "names that a gateway of a member may not have"},
	{"ipsec/vpn", "-", "-", "-", "names that a VPN of a member may not have"},
	{"address-book", "-", "-", "-", "for policies, which have no effect"},
	{"zones", "-", "-", "-", "names for ipsec-policy, which V4 has change in the same commit; nothing else of a zone has an effect"},
	{"policies", "-", "-", "-", "they have no effect, as commit warns"},
	{"certificates/local", "-", "-", "-", "acts through the policies that name it, which V4 has change in the same commit; order means nothing"},
	{"certificates/local/", "- 1.1a 2.1b 3.3", "- 1.1a 2.1b 3.3", "- 1.1a 2.1b 3.3", "by the policies that show it; the management services follow the running configuration by themselves"},
	{"certificates/trust-anchor", "- 1.1a 2.1b 3.3", "-", "- 1.1a 2.1b 3.3", "by the policies that believe it, all with use-all; order means nothing"},
	{"certificates/trust-anchor/", "- 1.1a 2.1b 3.3", "- 1.1a 2.1b 3.3", "- 1.1a 2.1b 3.3", "by the policies that believe it"},
	{"certificates", "-", "-", "-", "the management services follow the running configuration by themselves"},
	{"version", "-", "-", "-", "it says where the text is from"},
	{"system", "-", "-", "-", "the management services follow the running configuration by themselves"},
	{"interfaces", "-", "-", "-", "names to refer to; a service acts through the service-set, which no data plane binds"},
	{"firewall", "-", "-", "-", "chooses packets for service sets, which no data plane binds"},
	{"policy-options", "-", "-", "-", "prefixes for filters"},
	{"routing-instances", "-", "-", "-", "names to refer to"},
}

// lookup finds the family of a node, nil if it has none: the longest path that it is at or below. A path that ends in a slash has
// what is below it only. path is as in family.
func lookup(path string) *family {
	var best *family
	for i := range families {
		f := &families[i]
		below := strings.TrimSuffix(f.path, "/") + "/"
		if (path == f.path || strings.HasPrefix(path, below)) && (best == nil || len(f.path) > len(best.path)) {
			best = f
		}
	}
	return best
}

// familyOf returns the rows that the change belongs to by its place alone.
func familyOf(ch diff.Change) string {
	var path []string
	for i, e := range ch.Path {
		if i > 0 || e.Name != "security" {
			path = append(path, e.Name)
		}
	}
	f := lookup(strings.Join(path, "/"))
	switch {
	case f == nil:
		return ""
	case ch.Op == diff.Add:
		return f.add
	case ch.Op == diff.Delete:
		return f.delete
	}
	return f.modify
}
