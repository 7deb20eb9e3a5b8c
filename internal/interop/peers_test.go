//go:build interop

package interop

import (
	"os"
	"os/exec"
	"testing"
)

// need looks for a program of the operating system. Without it the test is skipped, and fails where CI is set.
func need(t *testing.T, program, debianPackage string) string {
	t.Helper()
	path := find(program)
	if path == "" {
		absent(t, "no "+program+" here: apt-get install "+debianPackage)
	}
	return path
}

// wish is need for a program that not every mirror has: without it the test is skipped everywhere.
func wish(t *testing.T, program, debianPackage string) string {
	t.Helper()
	path := find(program)
	if path == "" {
		t.Skip("no " + program + " here: apt-get install " + debianPackage)
	}
	return path
}

func find(program string) string {
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			return path
		}
	}
	return ""
}

// absent skips, or fails in CI, for something that the machine lacks.
func absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}
