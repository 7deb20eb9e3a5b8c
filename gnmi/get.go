package gnmi

import (
	"context"
	"maps"
	"slices"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/internal/auth"
)

// version is the version of the gNMI service definition that this server speaks.
const version = "0.10.0"

// Capabilities says which models and encodings there are (gNMI specification section 3.2).
func (s *Server) Capabilities(_ context.Context, r *pb.CapabilityRequest) (*pb.CapabilityResponse, error) {
	if err := noExtensions(len(r.GetExtension())); err != nil {
		return nil, err
	}
	response := &pb.CapabilityResponse{SupportedEncodings: []pb.Encoding{pb.Encoding_JSON_IETF}, GNMIVersion: version}
	for _, m := range config.Modules() {
		response.SupportedModels = append(response.SupportedModels, &pb.ModelData{Name: m.Name, Organization: m.Organization, Version: m.Revision})
	}
	return response, nil
}

// Get returns the running configuration below each path (section 3.3): one notification per path, one update per node that
// the path names.
func (s *Server) Get(ctx context.Context, r *pb.GetRequest) (*pb.GetResponse, error) {
	switch {
	case r.GetType() != pb.GetRequest_ALL && r.GetType() != pb.GetRequest_CONFIG:
		return nil, status.Errorf(codes.Unimplemented, "gnmi: Get of type %v is not supported: ALL and CONFIG are", r.GetType())
	case r.GetEncoding() != pb.Encoding_JSON_IETF:
		return nil, status.Errorf(codes.Unimplemented, "gnmi: encoding %v is not supported: JSON_IETF is", r.GetEncoding())
	case len(r.GetUseModels()) > 0:
		return nil, status.Error(codes.Unimplemented, "gnmi: use_models is not supported: leave it empty for all models")
	}
	if err := noExtensions(len(r.GetExtension())); err != nil {
		return nil, err
	}
	var running config.Tree
	if err := s.backend.Manage(func(db *commit.DB) error {
		running = db.Running()
		return nil
	}); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	if id, ok := ctx.Value(identityKey{}).(auth.Identity); !ok || !id.May(auth.Configure) {
		var err error
		if running, err = withoutSecrets(running); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	paths := r.GetPath()
	if len(paths) == 0 {
		paths = []*pb.Path{{}} // the prefix alone
	}
	response := &pb.GetResponse{}
	for _, p := range paths {
		full, err := join(r.GetPrefix(), p)
		if err != nil {
			return nil, err
		}
		at, err := resolve(full)
		if err != nil {
			return nil, err
		}
		updates, err := read(running, at, full)
		if err != nil {
			return nil, err
		}
		n := &pb.Notification{Timestamp: s.now().UnixNano(), Update: updates}
		if target := r.GetPrefix().GetTarget(); target != "" {
			n.Prefix = &pb.Path{Target: target} // section 2.2.2.1: a target that was named is named in the answer
		}
		response.Notification = append(response.Notification, n)
	}
	return response, nil
}

// read returns what is at a place. A place that holds nothing is an error (section 3.3.4), but for the whole configuration.
func read(t config.Tree, at place, p *pb.Path) ([]*pb.Update, error) {
	root := t.Root()
	switch {
	case at.top:
		whole := append([]byte(`{"`+root.Schema().Module()+":"+root.Name()+`":`), config.AppendJSON(nil, root)...)
		return []*pb.Update{update(p, append(whole, '}'))}, nil
	case at.all:
		var updates []*pb.Update
		for e := range root.At(at.path[:len(at.path)-1]).Entries(at.schema.Name()) {
			updates = append(updates, update(gnmiPath(root.Schema(), e.Path()), config.AppendJSON(nil, e)))
		}
		if len(updates) == 0 {
			return nil, status.Errorf(codes.NotFound, "gnmi: path %s: nothing is configured there", text(p))
		}
		return updates, nil
	}
	n := root.At(at.path)
	if !n.Exists() {
		return nil, status.Errorf(codes.NotFound, "gnmi: path %s: nothing is configured there", text(p))
	}
	return []*pb.Update{update(p, config.AppendJSON(nil, n))}, nil
}

func update(p *pb.Path, json []byte) *pb.Update {
	return &pb.Update{Path: p, Val: &pb.TypedValue{Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: json}}}
}

// withoutSecrets is a tree as those see it who may not configure.
func withoutSecrets(t config.Tree) (config.Tree, error) {
	var secrets []config.Path
	var visit func(n config.Node)
	visit = func(n config.Node) {
		if n.Schema().Secret() {
			secrets = append(secrets, n.Path())
		}
		for c := range n.Children() {
			visit(c)
		}
	}
	visit(t.Root())
	for _, p := range secrets {
		var err error
		if t, err = t.DeletePath(p); err != nil {
			return t, err
		}
	}
	return t, nil
}

// Subscribe is not there yet; grpc has the stream end with this error.
func (s *Server) Subscribe(pb.GNMI_SubscribeServer) error {
	return status.Error(codes.Unimplemented, "gnmi: Subscribe is not supported: Get and Set are")
}

func noExtensions(n int) error {
	if n > 0 {
		return status.Error(codes.Unimplemented, "gnmi: extensions are not supported")
	}
	return nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
