package config

import (
	"fmt"
	"runtime"
	"testing"
)

// loadText is a key server with n gateways of four leaves, and a group that refers to each of them.
func loadText(n int) []byte {
	b := []byte("set security group-vpn server ike proposal PR dh-group group14\n" +
		"set security group-vpn server ike policy P proposals PR\n" +
		"set security group-vpn server ike policy P pre-shared-key ascii-text x\n" +
		"set security group-vpn server group G group-id 1\n")
	for i := range n {
		b = fmt.Appendf(b, "set security group-vpn server ike gateway GM-%06d ike-policy P\n", i)
		b = fmt.Appendf(b, "set security group-vpn server ike gateway GM-%06d address 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
		b = fmt.Appendf(b, "set security group-vpn server ike gateway GM-%06d local-address 192.0.2.1\n", i)
		b = fmt.Appendf(b, "set security group-vpn server ike gateway GM-%06d routing-instance default\n", i)
	}
	for i := range n {
		b = fmt.Appendf(b, "set security group-vpn server group G ike-gateway GM-%06d\n", i)
	}
	return b
}

func load(tb testing.TB, text []byte) Tree {
	t, errs := Tree{}.LoadSet(nil, "load", text)
	if errs.Err() != nil {
		tb.Fatal(errs)
	}
	return t
}

func sizes(b *testing.B, f func(b *testing.B, n int)) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { f(b, n) })
	}
}

func BenchmarkLoadSet(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		text := loadText(n)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			load(b, text)
		}
	})
}

func BenchmarkLoadCurly(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		text := AppendCurly(nil, load(b, loadText(n)).Root())
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, errs := (Tree{}).LoadCurly(nil, Merge, "", text); errs.Err() != nil {
				b.Fatal(errs)
			}
		}
	})
}

func BenchmarkLoadXML(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		text := AppendXML(nil, load(b, loadText(n)).Root(), XMLOptions{Namespaces: true})
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, errs := (Tree{}).LoadXML(nil, OpMerge, "", text); errs.Err() != nil {
				b.Fatal(errs)
			}
		}
	})
}

func BenchmarkAppendXML(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		t := load(b, loadText(n))
		var dst []byte
		for b.Loop() {
			dst = AppendXML(dst[:0], t.Root(), XMLOptions{Namespaces: true})
		}
		b.SetBytes(int64(len(dst)))
	})
}

func BenchmarkValidateAll(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		t := load(b, loadText(n))
		for b.Loop() {
			if errs, _ := t.Validate(Tree{}); errs.Err() != nil {
				b.Fatal(errs)
			}
		}
	})
}

// BenchmarkSetLeaf changes one leaf and validates the change.
func BenchmarkSetLeaf(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		t := load(b, loadText(n))
		words := []string{"security", "group-vpn", "server", "ike", "gateway", fmt.Sprintf("GM-%06d", n/2), "address", ""}
		i := 0
		for b.Loop() {
			i++
			words[7] = fmt.Sprintf("10.200.0.%d", i%2)
			next, err := t.Set(nil, words)
			if err != nil {
				b.Fatal(err)
			}
			if errs, _ := next.Effective().Validate(t); errs.Err() != nil {
				b.Fatal(errs)
			}
			t = next
		}
	})
}

// BenchmarkMemory reports what a loaded tree holds.
func BenchmarkMemory(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		text := loadText(n)
		var before, after runtime.MemStats
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			t := load(b, text)
			runtime.GC()
			runtime.ReadMemStats(&after)
			runtime.KeepAlive(t)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
	})
}

// BenchmarkInherit changes one leaf where every gateway inherits one from a group, and makes what is in force again.
func BenchmarkInherit(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		t := load(b, append([]byte("set groups g security group-vpn server ike gateway <*> dead-peer-detection interval 20\nset apply-groups g\n"), loadText(n)...))
		e, errs := Effective{}.Next(t)
		if len(errs) > 0 {
			b.Fatal(errs)
		}
		words := []string{"security", "group-vpn", "server", "ike", "gateway", fmt.Sprintf("GM-%06d", n/2), "address", ""}
		i := 0
		for b.Loop() {
			i++
			words[7] = fmt.Sprintf("10.200.0.%d", i%2)
			next, err := t.Set(nil, words)
			if err != nil {
				b.Fatal(err)
			}
			was := e.Tree()
			e, _ = e.Next(next)
			for ch := range DiffEntries(was.Root().At(Path{{Name: "security"}, {Name: "group-vpn"}, {Name: "server"}, {Name: "ike"}}), e.Tree().Root().At(Path{{Name: "security"}, {Name: "group-vpn"}, {Name: "server"}, {Name: "ike"}}), "gateway") {
				if ch.New.Key()[0] != words[5] {
					b.Fatal(ch.New.Key())
				}
			}
			t = next
		}
	})
}

// BenchmarkInheritAll makes the effective configuration of that from nothing.
func BenchmarkInheritAll(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		t := load(b, append([]byte("set groups g security group-vpn server ike gateway <*> dead-peer-detection interval 20\nset apply-groups g\n"), loadText(n)...))
		for b.Loop() {
			t.Effective()
		}
	})
}
