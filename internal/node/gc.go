package node

import (
	"os"
	"runtime/debug"
)

// CollectLess has the process collect garbage half as often as Go does by itself, unless GOGC says how often. A registration leaves
// 18 KB of garbage behind and 3 KB that live: an eighth of its processor time went into looking at what lives. What is live may grow
// to three times its size before it is looked at, not to twice; after a large commit the memory goes back to the system all the same
// (active.go).
func CollectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}
