package commit

import (
	"errors"
	"fmt"

	"gvpn/config"
)

// The names of what the log keeps beside the revisions.
const (
	keptRescue    = "rescue"
	keptScheduled = "scheduled"
)

// SaveRescue makes what runs the rescue configuration, in the place of an earlier one.
func (d *DB) SaveRescue() error {
	if err := d.log.Keep(keptRescue, config.AppendSet([]byte{}, d.running.Root())); err != nil {
		return fmt.Errorf("commit: save the rescue configuration: %w", err)
	}
	return nil
}

// DeleteRescue forgets the rescue configuration; that there is none is no error.
func (d *DB) DeleteRescue() error {
	if err := d.log.Keep(keptRescue, nil); err != nil {
		return fmt.Errorf("commit: delete the rescue configuration: %w", err)
	}
	return nil
}

// Rescue returns the rescue configuration.
func (d *DB) Rescue() (config.Tree, error) {
	text, err := d.log.Kept(keptRescue)
	if err != nil {
		return config.Tree{}, fmt.Errorf("commit: read the rescue configuration: %w", err)
	}
	if text == nil {
		return config.Tree{}, errors.New("commit: there is no rescue configuration")
	}
	t, errs := config.Tree{}.LoadSet(nil, "rescue configuration", text)
	if errs.Err() != nil {
		return t, fmt.Errorf("commit: the rescue configuration cannot be read by this version: %w", errs)
	}
	return t, nil
}
