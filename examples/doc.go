// Package examples embeds the configurations of the example topology: a root-server, four sub-servers and four group
// members, one Junos-style file each under cluster/. The lab runs them; they are also a starting point to copy from.
package examples
