package gnmi

import (
	"context"
	"strconv"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/internal/auth"
)

// Set changes the running configuration by one commit (section 3.4): deletes, then replaces, then updates, each in the
// order of the request.
func (s *Server) Set(ctx context.Context, r *pb.SetRequest) (*pb.SetResponse, error) {
	if len(r.GetUnionReplace()) > 0 {
		return nil, status.Error(codes.Unimplemented, "gnmi: union_replace is not supported")
	}
	if err := noExtensions(len(r.GetExtension())); err != nil {
		return nil, err
	}
	id, ok := ctx.Value(identityKey{}).(auth.Identity)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "gnmi: no identity")
	}
	edits, response, err := plan(r)
	if err != nil {
		return nil, err
	}
	err = s.backend.Manage(func(db *commit.DB) error {
		if db.Candidate().Changed() {
			return status.Error(codes.Aborted, "gnmi: configuration database modified: the candidate has changes that are not committed")
		}
		if owner := db.Locked(); owner != "" {
			return status.Error(codes.Aborted, "gnmi: configuration database locked by: "+owner)
		}
		tree := db.Running()
		for _, edit := range edits {
			var err error
			if tree, err = edit(tree); err != nil {
				return refused(err)
			}
		}
		return s.commit(db, tree, id)
	})
	if err != nil {
		if _, worded := status.FromError(err); worded {
			return nil, err
		}
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	response.Timestamp = s.now().UnixNano()
	return response, nil
}

// edit is one change of a Set, ready to be made.
type edit func(config.Tree) (config.Tree, error)

// plan reads a request into edits, in the order in which they are made, and the response that names each.
func plan(r *pb.SetRequest) ([]edit, *pb.SetResponse, error) {
	var edits []edit
	response := &pb.SetResponse{Prefix: r.GetPrefix()}
	add := func(p *pb.Path, op pb.UpdateResult_Operation, val *pb.TypedValue) error {
		full, err := join(r.GetPrefix(), p)
		if err != nil {
			return err
		}
		at, err := resolve(full)
		if err != nil {
			return err
		}
		e, err := editOf(full, at, op, val)
		if err != nil {
			return err
		}
		edits = append(edits, e)
		response.Response = append(response.Response, &pb.UpdateResult{Path: p, Op: op})
		return nil
	}
	for _, p := range r.GetDelete() {
		if err := add(p, pb.UpdateResult_DELETE, nil); err != nil {
			return nil, nil, err
		}
	}
	for _, u := range r.GetReplace() {
		if err := add(u.GetPath(), pb.UpdateResult_REPLACE, u.GetVal()); err != nil {
			return nil, nil, err
		}
	}
	for _, u := range r.GetUpdate() {
		if err := add(u.GetPath(), pb.UpdateResult_UPDATE, u.GetVal()); err != nil {
			return nil, nil, err
		}
	}
	return edits, response, nil
}

func editOf(p *pb.Path, at place, op pb.UpdateResult_Operation, val *pb.TypedValue) (edit, error) {
	if op == pb.UpdateResult_DELETE {
		return func(t config.Tree) (config.Tree, error) { return remove(t, at) }, nil
	}
	load, err := loader(p, at, val)
	if err != nil {
		return nil, err
	}
	return func(t config.Tree) (config.Tree, error) {
		if op == pb.UpdateResult_REPLACE {
			var err error
			if t, err = empty(t, at); err != nil {
				return t, err
			}
		}
		return load(t)
	}, nil
}

// remove deletes what is at a place; nothing there is no error (section 3.4.6).
func remove(t config.Tree, at place) (config.Tree, error) {
	switch {
	case len(at.path) == 0:
		return config.Tree{}, nil
	case !exists(t, at):
		return t, nil
	}
	return t.DeletePath(at.path)
}

// exists reports whether there is anything at a place.
func exists(t config.Tree, at place) bool {
	if at.all {
		last := len(at.path) - 1
		return t.Root().At(at.path[:last]).Len(at.path[last].Name) > 0
	}
	return t.Root().At(at.path).Exists()
}

// empty deletes what is below a place, so that a replace leaves a list entry where it stands among its siblings.
func empty(t config.Tree, at place) (config.Tree, error) {
	if len(at.path) == 0 || at.all || at.schema.Kind() == config.Leaf || at.schema.Kind() == config.LeafList || at.schema.Kind() == config.Empty {
		return remove(t, at)
	}
	for c := range t.Root().At(at.path).Children() {
		var err error
		if t, err = remove(t, place{schema: c.Schema(), path: c.Path()}); err != nil {
			return t, err
		}
	}
	return t, nil
}

// loader returns what puts a value at a place: RFC 7951 JSON anywhere, gNMI's own scalars at a leaf.
func loader(p *pb.Path, at place, val *pb.TypedValue) (edit, error) {
	var scalar string
	switch v := val.GetValue().(type) {
	case *pb.TypedValue_JsonIetfVal:
		return func(t config.Tree) (config.Tree, error) {
			t, errs := t.LoadJSON(at.path, "", v.JsonIetfVal)
			if len(errs) > 0 { // gNMI has no warnings: what is protected fails the request
				return t, errs
			}
			return t, nil
		}, nil
	case *pb.TypedValue_StringVal:
		scalar = v.StringVal
	case *pb.TypedValue_IntVal:
		scalar = strconv.FormatInt(v.IntVal, 10)
	case *pb.TypedValue_UintVal:
		scalar = strconv.FormatUint(v.UintVal, 10)
	case nil:
		return nil, status.Errorf(codes.InvalidArgument, "gnmi: path %s: no val", text(p))
	default:
		return nil, status.Errorf(codes.Unimplemented, "gnmi: path %s: %T is not supported: use json_ietf_val", text(p), v)
	}
	if at.top || at.schema.Kind() != config.Leaf {
		return nil, status.Errorf(codes.InvalidArgument, "gnmi: path %s: %T for what is no leaf: use json_ietf_val", text(p), val.GetValue())
	}
	return func(t config.Tree) (config.Tree, error) { return t.SetValue(at.path, scalar) }, nil
}

// commit makes tree the candidate and commits it. If that fails the candidate is again what runs.
func (s *Server) commit(db *commit.DB, tree config.Tree, id auth.Identity) error {
	db.Candidate().Update(tree)
	if _, err := db.Commit(commit.Options{User: id.User, Client: "gnmi", Remote: id.Remote}); err != nil {
		db.Candidate().Discard()
		return refused(err)
	}
	return nil
}

// refused words an error of the configuration engine: every failing path in one message, a line each.
func refused(err error) error {
	return status.Error(codes.InvalidArgument, err.Error())
}
