package examples

import "embed"

// Cluster holds cluster/NODE.conf for the nodes root, sub1 to sub4 and gm1 to gm4, in curly form.
//
//go:embed cluster/*.conf
var Cluster embed.FS
