package yang

import "embed"

// FS holds every module as NAME.yang at its top.
//
//go:embed *.yang
var FS embed.FS
