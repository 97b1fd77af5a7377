package providertoken

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Try verifies a credential as Create would, at an instance of a definition, and
// keeps nothing: it needs no store and no key service. It is how an organisation
// proves a definition of its own in its tests, against a fake of the platform.
//
// Of r it reads MethodID, Fields and Secrets. A verdict against the credential is
// no error. Errors: those of a definition or instance that does not fit together,
// *lanyard.InputError, and lanyard.ErrUnavailable when ctx ended.
func Try(ctx context.Context, d Definition, at Instance, r CreateRequest) (Verification, error) {
	v, err := try(ctx, d, at, r)
	if err != nil {
		return Verification{}, fmt.Errorf("providertoken: try: %w", err)
	}
	return v, nil
}

func try(ctx context.Context, d Definition, at Instance, r CreateRequest) (Verification, error) {
	opt := (*Options)(nil).withDefaults()
	offers, err := makeOffers([]Definition{d}, []Instance{at})
	if err != nil {
		return Verification{}, err
	}
	i := slices.IndexFunc(offers, func(o *offer) bool { return o.id == at.ID })
	o := offers[i] // it is there, or makeOffers had refused it
	defer o.transport.CloseIdleConnections()
	telemetry, err := newMetrics(opt.MeterProvider)
	if err != nil {
		return Verification{}, err
	}
	s := &Service{offers: offers, shapes: recognised([]Definition{d}), verifyTimeout: opt.VerifyTimeout, processes: opt.Processes, clock: opt.Now, telemetry: telemetry}
	if r.MethodID == "" {
		r.MethodID = d.Methods[0].ID
	}
	m, ok := o.methods[r.MethodID]
	if !ok {
		return Verification{}, ErrNotOffered
	}
	fields, err1 := m.cleanFields(r.Fields, false)
	secrets, err2 := m.cleanSecrets(r.Secrets, false)
	if err := errors.Join(err1, err2); err != nil {
		return Verification{}, err
	}
	dropEmpty(fields)
	dest, err := o.destination(m.ID, fields)
	if err != nil {
		return Verification{}, err
	}
	f, err := s.verify(ctx, dest, secrets, true)
	if err != nil {
		return Verification{}, err
	}
	v := Verification{Verdict: f.verdict, Reason: f.reason, CheckedAt: s.now()}
	if f.verdict == VerdictOK {
		v.Account = &f.account
	}
	return v, nil
}
