package config

import (
	"os"
	"testing"
)

func TestSmoke(t *testing.T) {
	b, err := os.ReadFile("../examples/cluster/sub1.conf")
	if err != nil {
		t.Fatal(err)
	}
	tr, errs := Tree{}.LoadCurly(nil, Merge, "sub1.conf", b)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	t.Logf("%s", AppendCurly(nil, tr.Root()))
	t.Logf("%s", AppendSet(nil, tr.Root()))
	tr2, errs := Tree{}.LoadSet(nil, "x", AppendSet(nil, tr.Root()))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	if !Equal(tr.Root(), tr2.Root()) {
		t.Fatal("differ")
	}
}
