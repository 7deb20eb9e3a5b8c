package commit

import "gvpn/commit/step"

// Applier carries plans out: the engines of a node, behind its loop.
type Applier interface {
	// Prepare says whether the plan can be carried out. It must not act: the commit may still fail elsewhere.
	Prepare(p *step.Plan) error
	// Apply carries the plan out. It must not fail. The plan is shared and must not be changed.
	Apply(p *step.Plan)
}

// Recorder is an Applier that remembers, for tests. The zero value is ready.
type Recorder struct {
	Prepared, Applied []*step.Plan
	Refuse            error // what Prepare returns
}

// Prepare implements Applier.
func (r *Recorder) Prepare(p *step.Plan) error {
	r.Prepared = append(r.Prepared, p)
	return r.Refuse
}

// Apply implements Applier.
func (r *Recorder) Apply(p *step.Plan) { r.Applied = append(r.Applied, p) }
