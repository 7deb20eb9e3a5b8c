package gnmi

import (
	"strings"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gvpn/config"
)

// Bounds of a path; the models are far less deep, and no list has so many keys. What has more keys is not repeated in an error.
const (
	maxElems = 64
	maxKeys  = 8
)

// place is what a path names: a node of the schema, and where it would be in a tree.
type place struct {
	schema *config.Schema
	path   config.Path
	top    bool // the path is empty: what is around the container configuration
	all    bool // the path names a list without its keys: every entry
}

// join puts a prefix before a path. Only one of them may have a target or an origin that we know.
func join(prefix, p *pb.Path) (*pb.Path, error) {
	for _, part := range []*pb.Path{prefix, p} {
		switch origin := part.GetOrigin(); {
		case origin == "cli":
			return nil, status.Error(codes.Unimplemented, `gnmi: origin "cli" is not supported`)
		case origin != "":
			return nil, status.Errorf(codes.InvalidArgument, "gnmi: origin %q is unknown here: leave it empty", line(origin))
		case len(part.GetElement()) > 0: //nolint:staticcheck // the deprecated field is looked at to refuse it
			return nil, status.Error(codes.Unimplemented, "gnmi: paths by the field element, deprecated since 0.4.0, are not supported: use elem")
		}
	}
	if p.GetTarget() != "" {
		return nil, status.Error(codes.InvalidArgument, "gnmi: a target belongs in the prefix")
	}
	joined := &pb.Path{Elem: append(append([]*pb.PathElem(nil), prefix.GetElem()...), p.GetElem()...)}
	if len(joined.Elem) > maxElems {
		return nil, status.Errorf(codes.InvalidArgument, "gnmi: path of %d elements, at most %d", len(joined.Elem), maxElems)
	}
	return joined, nil
}

// resolve finds what a path names.
func resolve(p *pb.Path) (place, error) {
	if len(p.Elem) == 0 {
		return place{schema: config.Root(), top: true}, nil
	}
	at := place{schema: config.Root()}
	for i, e := range p.Elem {
		module, name, qualified := strings.Cut(e.GetName(), ":")
		if !qualified {
			name = module
		}
		if name == "*" || name == "..." {
			return place{}, status.Errorf(codes.Unimplemented, "gnmi: path %s: wildcards are not supported", text(p))
		}
		next := config.Root()
		if i > 0 {
			next = at.schema.Child(name)
		}
		if next == nil || next.Name() != name || qualified && next.Module() != module {
			return place{}, status.Errorf(codes.InvalidArgument, "gnmi: path %s: no %q below %s", text(p), line(e.GetName()), text(&pb.Path{Elem: p.Elem[:i]}))
		}
		at.schema = next
		if i == 0 {
			if len(e.GetKey()) > 0 {
				return place{}, status.Errorf(codes.InvalidArgument, "gnmi: path %s: %s is not a list", text(p), name)
			}
			continue
		}
		keys, err := keysOf(next, e, p)
		if err != nil {
			return place{}, err
		}
		if next.Kind() == config.List && keys == nil {
			if i < len(p.Elem)-1 {
				return place{}, status.Errorf(codes.Unimplemented, "gnmi: path %s: list %s without keys is supported in the last element only", text(p), name)
			}
			at.all = true
		}
		at.path = append(at.path, config.Elem{Name: name, Keys: keys})
	}
	return at, nil
}

// keysOf puts the keys of an element in the schema's order; nil if it has none.
func keysOf(s *config.Schema, e *pb.PathElem, p *pb.Path) ([]string, error) {
	if s.Kind() != config.List {
		if len(e.GetKey()) > 0 {
			return nil, status.Errorf(codes.InvalidArgument, "gnmi: path %s: %s is not a list", text(p), s.Name())
		}
		return nil, nil
	}
	if len(e.GetKey()) == 0 {
		return nil, nil
	}
	var keys []string
	for _, k := range s.Keys() {
		v, ok := e.GetKey()[k.Name()]
		if !ok {
			return nil, status.Errorf(codes.InvalidArgument, "gnmi: path %s: list %s wants key %s", text(p), s.Name(), k.Name())
		}
		if v == "*" {
			return nil, status.Errorf(codes.Unimplemented, "gnmi: path %s: wildcards are not supported", text(p))
		}
		keys = append(keys, v)
	}
	if len(keys) != len(e.GetKey()) {
		return nil, status.Errorf(codes.InvalidArgument, "gnmi: path %s: list %s has other keys", text(p), s.Name())
	}
	return keys, nil
}

// gnmiPath is the path of a node, below the container configuration.
func gnmiPath(root *config.Schema, path config.Path) *pb.Path {
	p := &pb.Path{Elem: []*pb.PathElem{{Name: root.Name()}}}
	s := root
	for _, e := range path {
		s = s.Child(e.Name)
		elem := &pb.PathElem{Name: e.Name}
		for i, k := range e.Keys {
			if elem.Key == nil {
				elem.Key = map[string]string{}
			}
			elem.Key[s.Keys()[i].Name()] = k
		}
		p.Elem = append(p.Elem, elem)
	}
	return p
}

// text writes a path for an error as clients write it: /a/b[key=value].
func text(p *pb.Path) string {
	if len(p.GetElem()) == 0 {
		return "/"
	}
	var b strings.Builder
	for _, e := range p.Elem {
		b.WriteByte('/')
		b.WriteString(line(e.GetName()))
		if len(e.GetKey()) > maxKeys {
			b.WriteString("[...]")
			continue
		}
		for _, k := range sortedKeys(e.GetKey()) {
			b.WriteString("[" + line(k) + "=" + line(e.Key[k]) + "]")
		}
	}
	return b.String()
}

// line makes a string from the wire fit for one line of an error.
func line(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
}
