package gdoi

import (
	"errors"
	"fmt"
)

// Why a message was refused. Every error of a parser here wraps one of these; errors about the layout also wrap the
// *isakmp.Error that was found first.
var (
	ErrForm        = errors.New("malformed")          // the layout, order or number of payloads; a value that no peer may send
	ErrUnsupported = errors.New("unsupported")        // well formed, but asks for what is not spoken here (or not known at all)
	ErrKeys        = errors.New("keys do not fit")    // KD against SA: a key missing, left over or of the wrong length
	ErrSPI         = errors.New("not this KEK's SPI") // the cookies of a PUSH are another KEK's
	ErrReplay      = errors.New("replay")             // SEQ is not greater than the last one
	ErrSignature   = errors.New("bad signature")
)

// refusal is every error of this package. Its text holds numbers and our own words, nothing quoted from the wire.
type refusal struct {
	kind  error
	text  string
	cause error
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return fmt.Sprintf("gdoi: %s: %v", r.text, r.cause)
	}
	return "gdoi: " + r.text
}

func (r *refusal) Unwrap() []error {
	if r.cause != nil {
		return []error{r.kind, r.cause}
	}
	return []error{r.kind}
}

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind: kind, text: fmt.Sprintf(format, args...)}
}

// form wraps an error of package isakmp; nil stays nil.
func form(what string, err error) error {
	if err == nil {
		return nil
	}
	return &refusal{kind: ErrForm, text: what, cause: err}
}
